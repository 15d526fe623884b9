import { describe, expect, test } from "vitest";
import {
  buildScope,
  type ContainerConfig,
  type EvaluatedStage,
  evaluateStage,
  parseDockerfile,
  type ScopeOptions,
  type Step,
} from "../../src/dockerfile/index.js";
import { parseImageConfig } from "../../src/oci/image-config.js";
import type { ImageConfig } from "../../src/oci/index.js";

const PLATFORM = { os: "linux", architecture: "amd64" };

function image(config: object): ImageConfig {
  const document = { ...PLATFORM, config, rootfs: { type: "layers", diff_ids: [] } };
  return parseImageConfig(Buffer.from(JSON.stringify(document)), "test");
}

/** Evaluates all stages; one that begins with an earlier one gets it as its base. */
function evaluateAll(text: string, base?: object, options: ScopeOptions = {}): EvaluatedStage[] {
  const file = parseDockerfile(text);
  const scope = buildScope(file, { platform: PLATFORM, buildPlatform: PLATFORM, ...options });
  const done: EvaluatedStage[] = [];
  for (const stage of file.stages) {
    const earlier = done.find((each) => each.stage.name === stage.base);
    const from = stage.base === "scratch" ? undefined : image(base ?? {});
    done.push(evaluateStage(scope, stage, earlier ?? from));
  }
  return done;
}

/** Evaluates what follows `FROM base`. */
function evaluate(text: string, base?: object, buildArgs?: Record<string, string>): EvaluatedStage {
  return evaluateAll(`FROM base\n${text}`, base, { buildArgs }).at(-1)!;
}

const config = (text: string, base?: object): ContainerConfig => evaluate(text, base).image.config!;
const lastStep = (text: string, base?: object): Step => evaluate(text, base).steps.at(-1)!;
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

describe("the configuration", () => {
  test.each<[string, object, object]>([
    ["", {}, { Env: [PATH] }],
    ["", { Env: ["PATH=/x"] }, { Env: ["PATH=/x"] }],
    ["ENV a=1 b=2", {}, { Env: [PATH, "a=1", "b=2"] }],
    ["ENV a=1\nENV a=2", {}, { Env: [PATH, "a=2"] }],
    ["ENV a=1\nENV b=2\nENV a=3", {}, { Env: [PATH, "a=3", "b=2"] }],
    ["ENV PATH=/mine:$PATH", { Env: ["PATH=/x"] }, { Env: ["PATH=/mine:/x"] }],
    ["ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc", {}, { Env: [PATH, "abc=bye", "def=hello", "ghi=bye"] }],
    ["ENV a='x $y' b=\"$a.\" c=d\\ e", { Env: ["a=base"] }, { Env: ["a=x $y", PATH, "b=base.", "c=d e"] }],
    ["ENV a b  c", {}, { Env: [PATH, "a=b  c"] }],
    ["ENV k=1\nENV $k=2", {}, { Env: [PATH, "k=1", "1=2"] }],
    ["CMD a b", {}, { Cmd: ["/bin/sh", "-c", "a b"] }],
    ["CMD $a", {}, { Cmd: ["/bin/sh", "-c", "$a"] }],
    ['CMD ["a", "$b"]', {}, { Cmd: ["a", "$b"] }],
    ["CMD []", { Cmd: ["x"] }, { Cmd: [] }],
    ["CMD a\nCMD b", {}, { Cmd: ["/bin/sh", "-c", "b"] }],
    ["ENTRYPOINT a", {}, { Entrypoint: ["/bin/sh", "-c", "a"] }],
    ['ENTRYPOINT ["a"]', { Cmd: ["x"] }, { Entrypoint: ["a"], Cmd: undefined }],
    ['CMD ["b"]\nENTRYPOINT ["a"]', { Cmd: ["x"] }, { Entrypoint: ["a"], Cmd: ["b"] }],
    ['ENTRYPOINT ["a"]\nCMD ["b"]', {}, { Entrypoint: ["a"], Cmd: ["b"] }],
    ["ENTRYPOINT []", { Entrypoint: ["x"], Cmd: ["y"] }, { Entrypoint: undefined, Cmd: undefined }],
    ['SHELL ["/bin/bash", "-ec"]\nCMD a', {}, { Shell: ["/bin/bash", "-ec"], Cmd: ["/bin/bash", "-ec", "a"] }],
    ["CMD a", { Shell: ["sh", "-x"] }, { Cmd: ["sh", "-x", "a"] }],
    ["WORKDIR /a", {}, { WorkingDir: "/a" }],
    ["WORKDIR a", {}, { WorkingDir: "/a" }],
    ["WORKDIR /a\nWORKDIR b\nWORKDIR c/", {}, { WorkingDir: "/a/b/c" }],
    ["WORKDIR ../../x/./y//z", { WorkingDir: "/a" }, { WorkingDir: "/x/y/z" }],
    ["WORKDIR b", { WorkingDir: "a" }, { WorkingDir: "/a/b" }],
    ["ENV d=/x\nWORKDIR $d/${e:-y}", {}, { WorkingDir: "/x/y" }],
    ["USER a:b", { User: "c" }, { User: "a:b" }],
    ["ENV u=me\nUSER ${u}", {}, { User: "me" }],
    ["USER ''", { User: "c" }, { User: "" }],
    [
      "LABEL a=1 \"b c\"='d e'\nLABEL a=2",
      { Labels: { x: "y", a: "0" } },
      { Labels: { x: "y", a: "2", "b c": "d e" } },
    ],
    ["ENV v=1\nLABEL v=$v w='$v'", {}, { Labels: { v: "1", w: "$v" } }],
    ["LABEL a b c", {}, { Labels: { a: "b c" } }],
    ["EXPOSE 80", {}, { ExposedPorts: { "80/tcp": {} } }],
    [
      "EXPOSE 80 53/udp 9/SCTP",
      { ExposedPorts: { "1/tcp": {} } },
      { ExposedPorts: { "1/tcp": {}, "80/tcp": {}, "53/udp": {}, "9/sctp": {} } },
    ],
    ["EXPOSE 8000-8002/udp", {}, { ExposedPorts: { "8000/udp": {}, "8001/udp": {}, "8002/udp": {} } }],
    ["EXPOSE 8080:80 127.0.0.1:1:2/udp [::1]:5:6", {}, { ExposedPorts: { "80/tcp": {}, "2/udp": {}, "6/tcp": {} } }],
    ["ENV p='80 81'\nEXPOSE $p", {}, { ExposedPorts: { "80/tcp": {}, "81/tcp": {} } }],
    ["ARG p=5000\nEXPOSE ${p}/udp", {}, { ExposedPorts: { "5000/udp": {} } }],
    ["VOLUME /a /b", { Volumes: { "/c": {} } }, { Volumes: { "/a": {}, "/b": {}, "/c": {} } }],
    ['ENV v=/x\nVOLUME ["$v/y", "z"]', {}, { Volumes: { "/x/y": {}, z: {} } }],
    ["STOPSIGNAL SIGKILL", {}, { StopSignal: "SIGKILL" }],
    ["STOPSIGNAL term", {}, { StopSignal: "term" }],
    ["STOPSIGNAL 9", {}, { StopSignal: "9" }],
    ["STOPSIGNAL RTMIN+3", {}, { StopSignal: "RTMIN+3" }],
    ["ARG s=HUP\nSTOPSIGNAL SIG$s", {}, { StopSignal: "SIGHUP" }],
    ["HEALTHCHECK CMD a", {}, { Healthcheck: { Test: ["CMD-SHELL", "a"] } }],
    ["HEALTHCHECK --interval=5s --retries=2 CMD a", {}, { Healthcheck: { Interval: 5e9, Retries: 2 } }],
    [
      "HEALTHCHECK NONE",
      { Healthcheck: { Test: ["CMD", "a"], Interval: 1e9 } },
      { Healthcheck: { Test: ["NONE"], Interval: undefined } },
    ],
    ["ONBUILD RUN a\nONBUILD COPY . /x", {}, { OnBuild: ["RUN a", "COPY . /x"] }],
    [
      "",
      { User: "u", StopSignal: "HUP", WorkingDir: "/w", Labels: { a: "b" } },
      { User: "u", StopSignal: "HUP", WorkingDir: "/w", Labels: { a: "b" } },
    ],
  ])("%j on %j", (text, base, expected) => expect(config(text, base)).toMatchObject(expected));

  test("MAINTAINER is the image's author", () => {
    expect(evaluate("MAINTAINER A <a@b>").image.author).toBe("A <a@b>");
  });

  test("each step keeps the configuration as it was then", () => {
    const { steps } = evaluate("ENV a=1\nENV a=2\nUSER x");
    expect(steps.map((step) => step.config.Env?.at(-1))).toEqual(["a=1", "a=2", "a=2"]);
    expect(steps.map((step) => step.config.User)).toEqual([undefined, undefined, "x"]);
  });

  test("scratch has the platform of the build, or of FROM", () => {
    expect(evaluateAll("FROM scratch\nUSER a")[0]!.image).toMatchObject({
      os: "linux",
      architecture: "amd64",
      config: { User: "a" },
    });
    const [arm] = evaluateAll("FROM --platform=linux/arm64/v8 scratch");
    expect(arm!.image).toMatchObject({ architecture: "arm64", variant: "v8" });
  });
});

describe("RUN", () => {
  test.each<[string, object, object]>([
    ["RUN a $b", {}, { argv: ["/bin/sh", "-c", "a $b"], workdir: "/", user: "", file: undefined }],
    ['RUN ["a", "$b"]', {}, { argv: ["a", "$b"] }],
    ['SHELL ["bash", "-c"]\nRUN a', {}, { argv: ["bash", "-c", "a"] }],
    ["WORKDIR /x\nUSER me\nRUN a", {}, { workdir: "/x", user: "me" }],
    ["RUN a", { WorkingDir: "/w", User: "1:2" }, { workdir: "/w", user: "1:2" }],
    ["RUN <<E\na $b\nE", {}, { argv: ["/bin/sh", "-c", "a $b\n"] }],
    ["RUN <<-E\n\ta\n\t\tb\nE", {}, { argv: ["/bin/sh", "-c", "a\nb\n"] }],
    [
      "RUN <<E\n#!/usr/bin/python3\nx\nE",
      {},
      { argv: ["/bin/sh", "-c", "/dev/pipes/E"], file: { path: "/dev/pipes/E", content: "#!/usr/bin/python3\nx\n" } },
    ],
    ["RUN <<'../../e'\n#!/bin/x\n../../e", {}, { file: { path: "/dev/pipes/script" } }],
    ["RUN cat <<E | sort\nb\nE", {}, { argv: ["/bin/sh", "-c", "cat <<E | sort\nb\nE"] }],
    ["RUN cat <<A <<B\n1\nA\n2\nB", {}, { argv: ["/bin/sh", "-c", "cat <<A <<B\n1\nA\n2\nB"] }],
    ["RUN --network=none --security=insecure a", {}, { network: "none", security: "insecure" }],
    ["WORKDIR /w\nRUN --mount=type=tmpfs,target=t a", {}, { mounts: [{ type: "tmpfs", target: "/w/t" }] }],
    [
      "ARG d=/c\nRUN --mount=type=cache,target=$d,id=${d}x a",
      {},
      { mounts: [{ type: "cache", target: "/c", id: "/cx" }] },
    ],
    ["ARG t=tmpfs\nRUN --mount=type=$t,target=/a b", {}, { mounts: [{ type: "tmpfs" }] }],
  ])("%j on %j", (text, base, expected) => expect(lastStep(text, base)).toMatchObject({ kind: "run", ...expected }));

  test("sees ENV and the arguments that were declared", () => {
    const step = evaluate("ARG a=1\nENV b=2\nARG c\nARG d\nRUN x", { Env: ["PATH=/p"] }, { d: "4" }).steps.at(
      -1,
    ) as Extract<Step, { kind: "run" }>;
    expect(Object.fromEntries(step.env)).toEqual({
      PATH: "/p",
      a: "1",
      b: "2",
      d: "4",
    });
    expect(step.config.Env).toEqual(["PATH=/p", "b=2"]);
    expect(step.createdBy).toBe("RUN |3 a=1 c= d=4 /bin/sh -c x");
  });

  test("sees proxies that nobody declared, and history does not", () => {
    const args = { http_proxy: "http://p", other: "x" };
    const step = evaluate("RUN x", {}, args).steps[0] as Extract<Step, { kind: "run" }>;
    expect([...step.proxies]).toEqual([
      ["HTTP_PROXY", "http://p"],
      ["http_proxy", "http://p"],
    ]);
    expect(step.env.has("http_proxy")).toBe(false);
    expect(step.createdBy).toBe("RUN /bin/sh -c x");
    const declared = evaluate("ARG http_proxy\nRUN x", {}, args).steps[1] as Extract<Step, { kind: "run" }>;
    expect(declared.env.get("http_proxy")).toBe("http://p");
    expect(declared.proxies.size).toBe(0);
  });
});

describe("COPY and ADD", () => {
  test.each<[string, object, object]>([
    ["COPY a /b", {}, { kind: "copy", sources: ["a"], destination: "/b", createdBy: "COPY a /b" }],
    ["COPY a b", { WorkingDir: "/w" }, { destination: "/w/b" }],
    ["COPY a b/", { WorkingDir: "/w" }, { destination: "/w/b/" }],
    ["COPY a .", { WorkingDir: "/w" }, { destination: "/w/" }],
    ["COPY a ./", {}, { destination: "/" }],
    ["COPY a /", {}, { destination: "/" }],
    ["COPY a ../../x", { WorkingDir: "/w" }, { destination: "/x" }],
    ["COPY a /x/..", {}, { destination: "/" }],
    ["COPY a b c/", {}, { sources: ["a", "b"] }],
    ["ENV s=x d=/y\nCOPY $s.txt ${d}/", {}, { sources: ["x.txt"], destination: "/y/" }],
    ["ENV s='a b'\nCOPY $s /x", {}, { sources: ["a b"] }],
    ['COPY ["a b", "/c d"]', {}, { sources: ["a b"], destination: "/c d" }],
    ["COPY a\\[b /c", {}, { sources: ["a[b"] }],
    ["ARG u=me\nCOPY --chown=$u:$u --chmod=0$m a /b\n", {}, { chown: "me:me", chmod: "0" }],
    ["COPY --chmod=u=rwX,go=rX a /b", {}, { chmod: "u=rwX,go=rX" }],
    ["ENV x=md\nCOPY --exclude=*.$x --exclude=y . /b", {}, { exclude: ["*.md", "y"] }],
    [
      "COPY --from=x --link --parents a /b",
      {},
      { from: "x", link: true, parents: true, createdBy: "COPY --parents a /b" },
    ],
    [
      "ENV x=1\nCOPY <<E /f\n$x '$x' \\$x ${y:-z}\nE",
      {},
      { documents: [{ name: "E", content: "1 '1' $x z\n" }], destination: "/f" },
    ],
    ["ENV x=1\nCOPY <<'E' /f\n$x\nE", {}, { documents: [{ content: "$x\n" }] }],
    ["COPY <<-E /f\n\t\ta\n\tb\n\tE", {}, { documents: [{ content: "a\nb\n" }] }],
    ["COPY f <<E /d/\na\nE", {}, { sources: ["f"], documents: [{ name: "E" }], createdBy: "COPY f <<E /d/" }],
    ["ADD http://x/y /z", {}, { kind: "add", sources: ["http://x/y"], unpack: undefined }],
    [`ARG c=${"ab".repeat(32)}\nADD --checksum=sha256:$c http://x/y /z`, {}, { checksum: `sha256:${"ab".repeat(32)}` }],
    ["ADD --keep-git-dir --unpack=false https://x/y.git#v1:d /z", {}, { keepGitDir: true, unpack: false }],
  ])("%j on %j", (text, base, expected) => expect(lastStep(text, base)).toMatchObject(expected));
});

describe("ARG", () => {
  const envOf = (text: string, buildArgs: Record<string, string> = {}) => {
    const last = evaluateAll(text, {}, { buildArgs }).at(-1)!;
    return Object.fromEntries([...last.env].filter(([name]) => name !== "PATH"));
  };

  test.each<[string, Record<string, string>, Record<string, string>]>([
    ["FROM x\nARG a", {}, {}],
    ["FROM x\nARG a=1", {}, { a: "1" }],
    ["FROM x\nARG a=1", { a: "2" }, { a: "2" }],
    ["FROM x\nARG a", { a: "2" }, { a: "2" }],
    ["FROM x", { a: "2" }, {}],
    ["ARG a=1\nFROM x", {}, {}],
    ["ARG a=1\nFROM x\nARG a", {}, { a: "1" }],
    ["ARG a=1\nFROM x\nARG a=2", {}, { a: "2" }],
    ["ARG a=1\nFROM x\nARG a=2", { a: "3" }, { a: "3" }],
    ["ARG a=1\nARG b=$a.2\nFROM x\nARG b", {}, { b: "1.2" }],
    ["ARG a=1\nARG b=$a.2\nFROM x\nARG b", { a: "9" }, { b: "9.2" }],
    ["FROM x\nARG a=1 b=${a}2", {}, { a: "1", b: "12" }],
    ["FROM x\nARG a=1\nARG a", {}, { a: "1" }],
    ["FROM x\nARG a=1\nENV a=2", { a: "3" }, { a: "2" }],
    ["FROM x\nARG a=1\nENV b=${a:-z}", {}, { a: "1", b: "1" }],
    ["FROM x\nENV b=$a\nARG a=1", {}, { a: "1", b: "" }],
    ["FROM x\nARG a='1 2' b=\"$a\"", {}, { a: "1 2", b: "1 2" }],
    ["FROM x AS one\nARG a=1\nFROM one", {}, { a: "1" }],
    ["FROM x AS one\nARG a=1\nFROM x AS two", {}, {}],
    ["FROM x\nARG TARGETARCH", {}, { TARGETARCH: "amd64" }],
    ["FROM x\nARG TARGETPLATFORM BUILDOS", {}, { TARGETPLATFORM: "linux/amd64", BUILDOS: "linux" }],
    ["FROM x\nARG TARGETARCH", { TARGETARCH: "z80" }, { TARGETARCH: "z80" }],
    ["FROM x\nARG TARGETVARIANT", {}, { TARGETVARIANT: "" }],
    ["FROM x\nENV a=$TARGETARCH", {}, { a: "" }],
    ["FROM x\nARG TARGETARCH=other", {}, { TARGETARCH: "other" }],
  ])("%j with %j", (text, buildArgs, expected) => expect(envOf(text, buildArgs)).toEqual(expected));
});

describe("ONBUILD", () => {
  test("triggers of an image come first, and are gone afterwards", () => {
    const { steps, image: made } = evaluate("RUN own", { OnBuild: ["ENV a=1", "RUN <<E\nx\nE"] });
    expect(steps.map(({ isTrigger, title }) => [isTrigger, title])).toEqual([
      [true, "ENV a=1"],
      [true, "RUN <<E"],
      [false, "RUN own"],
    ]);
    expect(steps[1]).toMatchObject({ argv: ["/bin/sh", "-c", "x\n"] });
    expect(made.config?.OnBuild).toBeUndefined();
  });

  test("triggers of a stage reach the next one only", () => {
    const stages = evaluateAll("FROM x AS a\nONBUILD ENV t=1\nFROM a AS b\nFROM b AS c");
    expect(stages.map(({ steps }) => steps.length)).toEqual([1, 1, 0]);
    expect(stages[1]!.image.config?.Env).toContain("t=1");
  });

  test("a mistake in an image's trigger is shown at FROM", () => {
    expect(() => evaluate("", { OnBuild: ["RUNN x"] })).toThrow(/^Dockerfile:1:1: unknown instruction: RUNN/);
    expect(() => evaluate("", { OnBuild: ["FROM x"] })).toThrow(/cannot be the trigger/);
    expect(() => evaluate("", { OnBuild: ["RUN a\nRUN b"] })).toThrow(/one instruction/);
  });
});

test("the history has what was done, and which of it made no layer", () => {
  const { image: made } = evaluate('ENV a=1\nRUN x\nWORKDIR /w\nCMD ["a"]\nONBUILD RUN y');
  expect(made.history?.map((each) => [each.created_by, each.empty_layer ?? false])).toEqual([
    ["ENV a=1", true],
    ["RUN /bin/sh -c x", false],
    ["WORKDIR /w", false],
    ["CMD [a]", true],
  ]);
});

test("titles show values, and stay as they are where there are none", () => {
  const { steps } = evaluate("ARG v=1\nrun get $v ${w} '$v' \"$v\"\ncopy a$v /x");
  expect(steps.map(({ title }) => title).slice(1)).toEqual(["RUN get 1 ${w} '$v' \"1\"", "COPY a1 /x"]);
});
