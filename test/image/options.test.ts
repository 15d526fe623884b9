import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { isName } from "../../src/image/name.js";
import { bakeKey, defaultName, runConfigurationOf, sizeOf } from "../../src/image/options.js";
import type { ImageContent } from "../../src/oci/index.js";

describe("the size of a guest", () => {
  test("is 256 MiB and one processor when nothing is said", () => {
    expect(sizeOf({})).toEqual({ memoryMiB: 256, vcpus: 1 });
    expect(sizeOf({ memoryMiB: undefined, vcpus: undefined })).toEqual({ memoryMiB: 256, vcpus: 1 });
  });

  test.each([
    [128, 1],
    [1 << 20, 64],
  ])("can be %i MiB and %i processors", (memoryMiB, vcpus) => {
    expect(sizeOf({ memoryMiB, vcpus })).toEqual({ memoryMiB, vcpus });
  });

  test.each([127, 0, -1, 256.5, Number.NaN, Number.POSITIVE_INFINITY, (1 << 20) + 1])(
    "cannot be %d MiB",
    (memoryMiB) => {
      expect(() => sizeOf({ memoryMiB })).toThrow(UsageError);
      expect(() => sizeOf({ memoryMiB })).toThrow(
        `memoryMiB is ${memoryMiB}; it is a whole number from 128 to 1048576`,
      );
    },
  );

  test.each([0, -1, 1.5, 65, Number.NaN])("cannot be %d processors", (vcpus) => {
    expect(() => sizeOf({ vcpus })).toThrow(UsageError);
    expect(() => sizeOf({ vcpus })).toThrow(`vcpus is ${vcpus}; it is a whole number from 1 to 64`);
  });
});

describe("the run configuration", () => {
  const nothing = { User: undefined, ExposedPorts: undefined, Volumes: undefined, Labels: undefined };
  const rest = { StopSignal: undefined, Shell: undefined, OnBuild: undefined, Healthcheck: undefined };
  const empty = { ...nothing, ...rest, Env: undefined, Entrypoint: undefined, Cmd: undefined, WorkingDir: undefined };
  const image = {
    config: {
      ...empty,
      User: "www",
      Env: ["PATH=/bin", "A=1"],
      Entrypoint: ["app"],
      Cmd: ["serve"],
      WorkingDir: "/srv",
    },
  };

  test("has the image's ports, stop signal and health check, in milliseconds", () => {
    const Healthcheck = { Test: ["CMD", "check"], Interval: 5e9, Timeout: 0, Retries: 2, StartPeriod: undefined };
    const config = {
      ...image.config,
      ExposedPorts: { "80/tcp": {}, "53/udp": {} },
      StopSignal: "SIGQUIT",
      Healthcheck,
    };
    expect(runConfigurationOf({ config }, { cmd: ["other"] })).toMatchObject({
      exposedPorts: ["53/udp", "80/tcp"],
      stopSignal: "SIGQUIT",
      healthcheck: { test: ["CMD", "check"], intervalMs: 5_000, timeoutMs: undefined, retries: 2 },
    });
  });

  test("is the image's own when nothing is said", () => {
    expect(runConfigurationOf(image, {})).toEqual({
      entrypoint: ["app"],
      cmd: ["serve"],
      env: { PATH: "/bin", A: "1" },
      workdir: "/srv",
      user: "www",
    });
  });

  test.each([[{ config: {} as typeof empty }], [{ config: empty }], [{ config: { ...empty, WorkingDir: "" } }]])(
    "of an image that says nothing is root in /",
    (bare) => {
      expect(runConfigurationOf(bare, {})).toEqual({ entrypoint: [], cmd: [], env: {}, workdir: "/", user: "" });
    },
  );

  test.each([
    ["other arguments keep the entrypoint", { cmd: ["check"] }, ["app"], ["check"]],
    ["no arguments keep the entrypoint", { cmd: [] }, ["app"], []],
    ["another entrypoint drops the arguments", { entrypoint: ["sh"] }, ["sh"], []],
    ["an empty entrypoint drops the arguments", { entrypoint: [] }, [], []],
    ["both are taken", { entrypoint: ["sh"], cmd: ["-c"] }, ["sh"], ["-c"]],
  ])("combines as docker does: %s", (_, options, entrypoint, cmd) => {
    expect(runConfigurationOf(image, options)).toMatchObject({ entrypoint, cmd });
  });

  test("adds variables, and replaces folder and user", () => {
    const options = { env: { A: "2", B: "3" }, workdir: "/tmp", user: "0:0" };
    expect(runConfigurationOf(image, options)).toMatchObject({
      env: { PATH: "/bin", A: "2", B: "3" },
      workdir: "/tmp",
      user: "0:0",
    });
    expect(runConfigurationOf(image, { user: "" }).user).toBe("");
  });

  test("makes a relative working folder absolute", () => {
    expect(runConfigurationOf(image, { workdir: "app" }).workdir).toBe("/app");
    expect(runConfigurationOf({ config: { ...empty, WorkingDir: "srv" } }, {}).workdir).toBe("/srv");
  });
});

describe("the name of a bake that was given none", () => {
  const key = "0123456789abcdef";
  test.each([
    ["oci-archive:python.tar", "python"],
    ["oci-archive:images/python.tar", "python"],
    ["oci-archive:/x/python.tar.gz", "python"],
    ["oci-archive:python.tar:3.12", "python-3.12"],
    ["oci-layout:./app", "app"],
    ["oci-layout:/srv/my app:v1", "my-app-v1"],
    ["oci-layout:dir@sha256:abc", "dir"],
    ["docker.io/library/alpine:3.20", "alpine-3.20"],
    ["oci-layout:..", "image"],
    ["oci-layout:/", "image"],
    ["oci-layout:日本", "image"],
    ["oci-layout:-rf", "rf"],
  ])("of %s is %s with the start of its key", (reference, slug) => {
    expect(defaultName(reference, key)).toBe(`${slug}-0123456789ab`);
  });

  test("is always a name", () => {
    for (const reference of ["", ":", "@", "x".repeat(500), "oci-layout:a.lock", "a\0b", "../../etc/passwd"]) {
      expect(isName(defaultName(reference, key))).toBe(true);
    }
  });
});

describe("the key of a bake", () => {
  const content = (changes = {}) =>
    ({
      configDigest: "sha256:c",
      layers: [{ diffId: "sha256:1" }, { diffId: "sha256:2" }],
      ...changes,
    }) as unknown as ImageContent;
  const config = { entrypoint: [], cmd: ["sh"], env: { A: "1" }, workdir: "/", user: "" };
  const state = { ready: "start", guestPort: 80 } as const;
  const key = bakeKey(content(), config, "template", "host", state);

  test("is the same for the same input, wherever it came from", () => {
    expect(
      bakeKey(content({ reference: "elsewhere", manifestDigest: "m" }), { ...config }, "template", "host", state),
    ).toBe(key);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each<[string, string]>([
    ["the image's configuration", bakeKey(content({ configDigest: "sha256:d" }), config, "template", "host", state)],
    ["the layers", bakeKey(content({ layers: [{ diffId: "sha256:1" }] }), config, "template", "host", state)],
    [
      "the layers' order",
      bakeKey(content({ layers: content().layers.toReversed() }), config, "template", "host", state),
    ],
    ["the arguments", bakeKey(content(), { ...config, cmd: ["ls"] }, "template", "host", state)],
    [
      "what is argument and what entrypoint",
      bakeKey(content(), { ...config, entrypoint: ["sh"], cmd: [] }, "template", "host", state),
    ],
    ["a variable", bakeKey(content(), { ...config, env: { A: "2" } }, "template", "host", state)],
    ["the user", bakeKey(content(), { ...config, user: "1" }, "template", "host", state)],
    ["the template", bakeKey(content(), config, "other", "host", state)],
    ["the host name", bakeKey(content(), config, "template", "other", state)],
    ["the moment", bakeKey(content(), config, "template", "host", { ...state, ready: "listener" })],
    ["the port", bakeKey(content(), config, "template", "host", { ...state, guestPort: 81 })],
    ["the warm-up's tag", bakeKey(content(), config, "template", "host", { ...state, warmupTag: "v1" })],
  ])("changes with %s", (_, other) => {
    expect(other).not.toBe(key);
  });
});
