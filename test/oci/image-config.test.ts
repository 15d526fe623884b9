import { describe, expect, it } from "vitest";
import { parseImageConfig } from "../../src/oci/image-config.js";

const DIFF_ID = `sha256:${"5f".repeat(32)}`;
const BASE = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [DIFF_ID] } };

const parse = (changes: Record<string, unknown>) =>
  parseImageConfig(Buffer.from(JSON.stringify({ ...BASE, ...changes })), "config");
const run = (config: Record<string, unknown>) => parse({ config }).config;

describe("parseImageConfig", () => {
  it("reads a config with everything in it", () => {
    const config = {
      User: "1:1",
      ExposedPorts: { "8080/tcp": {} },
      Env: ["PATH=/usr/bin:/bin", "FOO=docker_is_a_really", "EMPTY=", "WITH=a=b", "BARE"],
      Entrypoint: ["/bin/sh"],
      Cmd: ["--foreground", ""],
      Volumes: { "/var/job-result-data": {}, "/var/log/my-app-logs": {} },
      WorkingDir: "/home/alice",
      Labels: { "com.example.project": "x" },
      StopSignal: "SIGRTMIN+3",
      Shell: ["/bin/sh", "-c"],
      OnBuild: ["RUN true"],
      Healthcheck: { Test: ["CMD", "true"], Interval: 1e9, Timeout: 2e9, StartPeriod: 0, Retries: 3 },
    };
    const history = [
      { created: "2015-10-31T22:22:54Z", created_by: "ADD file" },
      { created_by: "CMD", empty_layer: true },
    ];
    const document = { variant: "v3", created: "2015-10-31T22:22:56Z", author: "A <a@example.com>", config, history };
    expect(parse(document)).toEqual({ ...BASE, ...document });
  });

  it("reads a config with only what is required", () => {
    expect(parse({})).toEqual({ ...BASE, config: {} });
    expect(parse({ config: null }).config).toEqual({});
  });

  it("takes docker's null for absence everywhere", () => {
    const nothing = { User: null, Env: null, Cmd: null, Entrypoint: null, Volumes: null, Labels: null, OnBuild: null };
    expect(Object.values(run(nothing)).every((value) => value === undefined)).toBe(true);
    expect(parse({ history: null, variant: null }).history).toBeUndefined();
  });

  it("reads an image without layers, however that is written", () => {
    expect(parse({ rootfs: { type: "layers", diff_ids: [] } }).rootfs.diff_ids).toEqual([]);
    expect(parse({ rootfs: { type: "layers", diff_ids: null } }).rootfs.diff_ids).toEqual([]);
    expect(parse({ rootfs: { type: "layers" } }).rootfs.diff_ids).toEqual([]);
  });

  it("drops what it does not know, docker's old container settings among it", () => {
    expect(parse({ container_config: { Cmd: 7 }, docker_version: "1.6", id: "x" })).toEqual({ ...BASE, config: {} });
    expect(run({ Hostname: "h", Tty: false, ArgsEscaped: true })).toEqual({});
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["an os that is a number", { os: 123 }, /os/],
    ["no os", { os: undefined }, /os/],
    ["an empty os", { os: "" }, /os: must not be empty/],
    ["no architecture", { architecture: undefined }, /architecture/],
    ["an empty architecture", { architecture: "" }, /architecture: must not be empty/],
    ["a variant that is a number", { variant: 7 }, /variant/],
    ["no rootfs", { rootfs: undefined }, /rootfs/],
    ["another kind of rootfs", { rootfs: { type: "layers+base", diff_ids: [] } }, /rootfs\.type: must be "layers"/],
    ["a diff id that is no digest", { rootfs: { type: "layers", diff_ids: ["sha256:../x"] } }, /rootfs\.diff_ids\.0/],
    ["a diff id that cannot be verified", { rootfs: { type: "layers", diff_ids: ["md5:00"] } }, /rootfs\.diff_ids\.0/],
    ["history that is text", { history: "should be an array" }, /history/],
    ["history of numbers", { history: [1] }, /history\.0/],
    ["an empty_layer that is text", { history: [{ empty_layer: "yes" }] }, /history\.0\.empty_layer/],
    ["a config that is text", { config: "sh" }, /config/],
    ["a user that is a number", { config: { User: 1234 } }, /config\.User/],
    ["a user with a NUL", { config: { User: "a\0b" } }, /config\.User: must not have a NUL/],
    ["an environment of numbers", { config: { Env: [7353] } }, /config\.Env\.0/],
    ["an environment that is a map", { config: { Env: { A: "b" } } }, /config\.Env/],
    ["a variable without a name", { config: { Env: ["=x"] } }, /config\.Env\.0: is not NAME=VALUE/],
    ["a variable with a NUL", { config: { Env: ["A=b\0C=d"] } }, /config\.Env\.0: must not have a NUL/],
    ["volumes in a list", { config: { Volumes: ["/var/data"] } }, /config\.Volumes/],
    ["ports in a list", { config: { ExposedPorts: ["80/tcp"] } }, /config\.ExposedPorts/],
    ["a command that is text", { config: { Cmd: "/bin/sh" } }, /config\.Cmd/],
    ["a command with a NUL", { config: { Cmd: ["a", "b\0"] } }, /config\.Cmd\.1: must not have a NUL/],
    ["an entry point of numbers", { config: { Entrypoint: [1] } }, /config\.Entrypoint\.0/],
    ["labels that are no text", { config: { Labels: { a: {} } } }, /config\.Labels\.a/],
    ["a working directory that is a list", { config: { WorkingDir: [] } }, /config\.WorkingDir/],
  ])("refuses %s", (_what, changes, reason) => {
    expect(() => parse(changes)).toThrow(reason);
  });

  it("is not led astray by names that objects have of themselves", () => {
    const text = JSON.stringify(BASE).replace("{", '{"config":{"Labels":{"__proto__":"x","constructor":"y"}},');
    const { Labels } = parseImageConfig(Buffer.from(text), "config").config;
    expect(Object.getPrototypeOf(Labels)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});
