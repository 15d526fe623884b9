import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.js";
import { findCredentials } from "../../../src/oci/registry/credentials.js";
import { parseRegistryAuth } from "../../../src/oci/registry/registry-auth.js";
import { temporaryFolder } from "../../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
let env: NodeJS.ProcessEnv;
beforeEach(() => {
  folder = temporaryFolder();
  env = { DOCKER_CONFIG: folder.path, XDG_CONFIG_HOME: folder.path, XDG_RUNTIME_DIR: folder.path };
});
afterEach(() => folder[Symbol.dispose]());

const packed = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
const config = (content: unknown) => writeFileSync(join(folder.path, "config.json"), JSON.stringify(content));
const find = async (registry: string, repository = "a/b") =>
  (await findCredentials(registry, repository, env)).credentials;

const KEYS: [string, string, boolean][] = [
  ["docker.io", "https://index.docker.io/v1/", true],
  ["docker.io", "index.docker.io", true],
  ["docker.io", "docker.io", true],
  ["docker.io", "registry-1.docker.io", true],
  ["docker.io", "https://index.docker.io.example/v1/", false],
  ["ghcr.io", "ghcr.io", true],
  ["ghcr.io", "https://ghcr.io", true],
  ["ghcr.io", "http://ghcr.io/v2/", true],
  ["ghcr.io", "ghcr.io/a", true],
  ["ghcr.io", "ghcr.io/a/b", true],
  ["ghcr.io", "ghcr.io/a/bc", false],
  ["ghcr.io", "ghcr.io/b", false],
  ["ghcr.io", "ghcr.io:443", false],
  ["ghcr.io", "x.ghcr.io", false],
  ["localhost:5000", "localhost:5000", true],
  ["localhost:5000", "localhost", false],
  ["[::1]:5000", "[::1]:5000", true],
];

describe("USER:PASS", () => {
  it.each([
    ["ada:secret", "ada", "secret"],
    ["ada:with:colons:", "ada", "with:colons:"],
  ])("%s", (text, username, password) => {
    expect(parseRegistryAuth(text)).toEqual({ username, password });
  });

  it.each(["", "ada", "ada:", ":secret"])("is not %j", (text) => {
    expect(() => parseRegistryAuth(text)).toThrow(UsageError);
  });
});

describe("credentials in a file", () => {
  it.each(KEYS)("for %s under the key %s: %s", async (registry, key, isFound) => {
    config({ auths: { [key]: packed("ada:pass:word") } });
    expect(await find(registry)).toEqual(isFound ? { username: "ada", password: "pass:word" } : undefined);
  });

  it("are those of the longest part of the repository", async () => {
    config({ auths: { "ghcr.io/a/b": packed("inner:1"), "ghcr.io/a": packed("outer:1"), "ghcr.io": packed("all:1") } });
    expect(await find("ghcr.io", "a/b/c")).toMatchObject({ username: "inner" });
    expect(await find("ghcr.io", "a/x")).toMatchObject({ username: "outer" });
    expect(await find("ghcr.io", "x")).toMatchObject({ username: "all" });
  });

  it("may be an identity token, which goes before a password", async () => {
    config({ auths: { "ghcr.io": { ...packed("ada:x"), identitytoken: "t" } } });
    expect(await find("ghcr.io")).toEqual({ identityToken: "t" });
  });

  it.each([{}, null, { auth: "" }, { auth: "bm9jb2xvbg==" }, { username: "only" }])(
    "are none in the entry %j",
    async (entry) => {
      config({ auths: { "ghcr.io": entry } });
      expect(await find("ghcr.io")).toBeUndefined();
    },
  );

  it("are docker's before podman's", async () => {
    mkdirSync(join(folder.path, "containers"));
    writeFileSync(
      join(folder.path, "containers/auth.json"),
      JSON.stringify({ auths: { "ghcr.io": packed("podman:1"), "quay.io": packed("podman:1") } }),
    );
    config({ auths: { "ghcr.io": packed("docker:1") } });
    expect(await find("ghcr.io")).toMatchObject({ username: "docker" });
    expect(await find("quay.io")).toMatchObject({ username: "podman" });
  });

  it("are none where there is no file", async () => {
    expect(await findCredentials("ghcr.io", "a", env)).toEqual({});
  });

  it.each(["text", 1, { auths: { x: "y" } }, { credHelpers: { x: 1 } }, { credsStore: {} }])(
    "are not looked for in %j",
    async (content) => {
      config(content);
      await expect(find("ghcr.io")).rejects.toThrow(UsageError);
    },
  );
});
