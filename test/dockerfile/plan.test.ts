import { describe, expect, test } from "vitest";
import { buildScope, type PlanOptions, parseDockerfile, planBuild, type Source } from "../../src/dockerfile/index.js";
import { DockerfileError, UsageError } from "../../src/errors.js";

function plan(text: string, options: PlanOptions & { buildArgs?: Record<string, string> } = {}) {
  const scope = buildScope(parseDockerfile(text), { buildArgs: options.buildArgs });
  return planBuild(scope, options);
}

const order = (text: string, options?: Parameters<typeof plan>[1]) =>
  plan(text, options).stages.map(({ stage }) => stage.name ?? stage.index);
const image = (name: string): Source => ({ kind: "image", name, platform: undefined });

describe("what a target needs, in order", () => {
  test.each<[string, string | undefined, (string | number)[]]>([
    ["FROM x", undefined, [0]],
    ["FROM x AS a\nFROM y AS b", undefined, ["b"]],
    ["FROM x AS a\nFROM y AS b", "a", ["a"]],
    ["FROM x AS a\nFROM y AS b", "A", ["a"]],
    ["FROM x AS a\nFROM y AS b", "0", ["a"]],
    ["FROM x AS a\nFROM a AS b", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM A AS b", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM y AS b\nCOPY --from=a / /", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM y AS b\nCOPY --from=0 / /", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM y AS b\nCOPY --from=A / /", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM y AS b\nRUN --mount=from=a,target=/a z", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM y AS b\nRUN --mount=type=cache,from=a,target=/a z", undefined, ["a", "b"]],
    ["FROM x AS a\nFROM x AS b\nFROM a AS c\nCOPY --from=b / /\nFROM x AS d", "c", ["a", "b", "c"]],
    ["FROM x AS a\nFROM a AS b\nFROM b AS c\nFROM x AS d\nCOPY --from=c / /", undefined, ["a", "b", "c", "d"]],
    ["FROM x\nFROM x\nCOPY --from=0 / /", undefined, [0, 1]],
    ["FROM x AS a\nFROM y AS b\nADD a /b", undefined, ["b"]],
    ["FROM x AS a1\nFROM y\nCOPY --from=a1 / /", undefined, ["a1", 1]],
    ["FROM x AS a\nONBUILD COPY --from=b / /\nFROM y AS b\nFROM a AS c", undefined, ["a", "b", "c"]],
  ])("%j for %j", (text, target, expected) => expect(order(text, { target })).toEqual(expected));

  test("triggers of base images count once they are known", () => {
    const text = "FROM x AS a\nFROM y AS b";
    expect(order(text)).toEqual(["b"]);
    expect(order(text, { triggers: new Map([[1, ["COPY --from=a / /"]]]) })).toEqual(["a", "b"]);
  });
});

describe("where things come from", () => {
  const base = (text: string, options?: Parameters<typeof plan>[1]) => plan(text, options).target.base;
  const source = (text: string, options?: Parameters<typeof plan>[1]) =>
    [...plan(text, options).target.sources.values()][0];

  test.each<[string, Source, Record<string, string>?]>([
    ["FROM alpine:3", image("alpine:3")],
    ["FROM scratch", { kind: "scratch" }],
    ["ARG v=3\nFROM alpine:$v", image("alpine:3")],
    ["ARG v=3\nFROM alpine:${v}", image("alpine:4"), { v: "4" }],
    ["ARG i\nFROM ${i:-debian}", image("debian")],
    ["ARG i=a\nFROM x AS a\nFROM $i", { kind: "stage", index: 0 }],
    ["FROM oci-archive:/a/b.tar", image("oci-archive:/a/b.tar")],
    ["FROM x AS x", image("x")],
    ["FROM x AS a\nFROM y AS a\nFROM a", { kind: "stage", index: 1 }],
    ["FROM x AS a\nFROM a AS a", { kind: "stage", index: 0 }],
    ["FROM --platform=linux/arm64 x", { kind: "image", name: "x", platform: { os: "linux", architecture: "arm64" } }],
    [
      "ARG p=linux/arm/v7\nFROM --platform=$p x",
      { kind: "image", name: "x", platform: { os: "linux", architecture: "arm", variant: "v7" } },
    ],
  ])("%j", (text, expected, buildArgs) => expect(base(text, { buildArgs: buildArgs ?? {} })).toEqual(expected));

  test.each<[string, Source]>([
    ["COPY --from=busybox:1 /a /b", image("busybox:1")],
    ["COPY --from=scratch /a /b", { kind: "scratch" }],
    ["RUN --mount=from=busybox,target=/a x", image("busybox")],
  ])("%j", (text, expected) => expect(source(`FROM x\n${text}`)).toEqual(expected));

  test.each<[string, string, Source]>([
    ["FROM alpine", "alpine", { kind: "context", name: "alpine" }],
    ["FROM alpine", "docker.io/library/alpine:latest", { kind: "context", name: "docker.io/library/alpine:latest" }],
    ["FROM docker.io/library/alpine", "alpine", { kind: "context", name: "alpine" }],
    ["FROM alpine:3", "alpine", image("alpine:3")],
    ["FROM alpine:3", "alpine:3", { kind: "context", name: "alpine:3" }],
    ["FROM x AS a\nRUN y\nFROM a", "a", { kind: "context", name: "a" }],
    ["FROM x AS a\nRUN y", "a", { kind: "context", name: "a" }],
    ["FROM scratch", "scratch", { kind: "scratch" }],
  ])("%j with the context %s", (text, name, expected) => expect(base(text, { contexts: [name] })).toEqual(expected));

  test("a named context takes the place of a stage's image in COPY", () => {
    expect(source("FROM x\nCOPY --from=src /a /b", { contexts: ["src"] })).toEqual({ kind: "context", name: "src" });
    expect(source("FROM x AS a\nRUN y\nFROM z\nCOPY --from=a /a /b", { contexts: ["a"] })).toEqual({
      kind: "stage",
      index: 0,
    });
    const [replaced] = plan("FROM x AS a\nRUN y\nFROM z\nCOPY --from=a /a /b", { contexts: ["a"] }).stages;
    expect(replaced).toMatchObject({ base: { kind: "context", name: "a" }, stage: { instructions: [] } });
  });
});

describe("what cannot be planned", () => {
  test.each<[string, RegExp]>([
    ["FROM x\nCOPY --from=0 / /", /2:8: the stage 0 needs itself/],
    ["FROM x AS a\nCOPY --from=a / /", /the stage a needs itself/],
    ["FROM x AS a\nRUN --mount=from=a,target=/a x", /the stage a needs itself/],
    ["FROM x\nCOPY --from=1 / /", /there is no stage 1/],
    ["FROM x AS a\nCOPY --from=b / /\nFROM y AS b", /the stage b comes later/],
    ["FROM x AS a\nCOPY --from=b / /\nFROM a AS b", /the stages a and b need each other/],
    [
      "FROM x AS a\nCOPY --from=1 / /\nFROM x AS b\nCOPY --from=c / /\nFROM a AS c",
      /the stages a and 1 need each other/,
    ],
    ["FROM $x", /1:6: the name of the base is empty: \$x/],
    ["FROM ${x:?no}", /x: no/],
    ["FROM ${x", /missing '}'/],
    ["FROM --platform=a/b/c/d x", /a\/b\/c\/d is not a platform/],
    ["FROM --platform=$p x", /\$p, which is "", is not a platform/],
    ["ARG x=${y:?no}\nFROM a", /1:7: \$\{y:\?no\}: y: no/],
  ])("%j", (text, message) => {
    const fails = () => plan(text, { target: /need|later/.test(message.source) ? "0" : undefined });
    expect(fails).toThrow(DockerfileError);
    expect(fails).toThrow(message);
  });

  test("a target that is not there suggests the nearest", () => {
    const text = "FROM x AS build\nFROM x AS test";
    expect(() => plan(text, { target: "biuld" })).toThrow(UsageError);
    expect(() => plan(text, { target: "biuld" })).toThrow(/no stage "biuld"\n {2}Did you mean build\?/);
    expect(() => plan(text, { target: "zzzzzzz" })).toThrow(/Its stages: build, test/);
    expect(() => plan("FROM x", { target: "7" })).toThrow(/none has a name/);
  });

  test("a mistake in a stage that is not needed is none", () => {
    expect(order("FROM x AS a\nCOPY --from=9 / /\nFROM y AS b")).toEqual(["b"]);
  });
});
