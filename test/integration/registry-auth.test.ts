import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { RegistryAuthError, UsageError } from "../../src/errors.js";
import { makeSigner } from "../support/registry/certificates.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { freshClient, pull } from "../support/registry/client.js";
import { startRegistry, type TestRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox } from "../support/registry/push.js";
import { startTokenServer, type TokenServer } from "../support/registry/token-server.js";

const USER = "ada";
const PASSWORD = "s3cret:with/colon";
const GOOD = { username: USER, password: PASSWORD };
const BAD = { username: USER, password: "wr0ng-but-secret" };

const cleanup = new Cleanup();
let client: ReturnType<typeof freshClient>;
let certificates: string;
beforeAll(() => {
  certificates = mkdtempSync(join(tmpdir(), "supermachine-keys-"));
});
afterAll(async () => {
  await cleanup.end();
  rmSync(certificates, { recursive: true, force: true });
});
beforeEach(() => {
  client = freshClient();
});
afterEach(() => client[Symbol.dispose]());

function write(path: string, content: object | string): string {
  const full = join(client.folder, path);
  mkdirSync(join(full, ".."), { recursive: true });
  writeFileSync(full, typeof content === "string" ? content : JSON.stringify(content));
  return full;
}

function dockerConfig(content: object | string): void {
  write("docker/config.json", content);
}

/** A program that prints what a credential helper would, and notes what it was asked. */
function installHelper(name: string, script: string): void {
  chmodSync(write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`), 0o755);
  vi.stubEnv("PATH", `${join(client.folder, "bin")}:${process.env.PATH}`);
}

async function failureOf(pulling: Promise<unknown>): Promise<Error> {
  const outcome: unknown = await pulling.then(
    () => new Error("it was pulled"),
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(RegistryAuthError);
  return outcome as Error;
}

function expectNoSecrets(error: Error): void {
  const shown = inspect(error, { depth: 10, showHidden: true });
  const encoded = [GOOD, BAD].map(({ username, password }) =>
    Buffer.from(`${username}:${password}`).toString("base64"),
  );
  for (const secret of [PASSWORD, BAD.password, ...encoded]) expect(shown).not.toContain(secret);
}

const auth = Buffer.from(`${USER}:${PASSWORD}`).toString("base64");

describe("a registry with passwords", () => {
  let registry: TestRegistry;
  let image: string;
  beforeAll(async () => {
    registry = cleanup.use(await startRegistry({ users: { [USER]: PASSWORD } }));
    image = `${registry.host}/team/busybox:1`;
    await pushBusybox(image, { credentials: `${USER}:${PASSWORD}` });
  });

  it("lets in who gives them", async () => {
    await pull(image, { registryAuth: GOOD });
  });

  it("wants them, and what to do is said", async () => {
    const error = await failureOf(pull(image));
    expect(error.message).toMatch(/wants a user name and a password[\s\S]*docker login localhost:\d+/);
    expect(error).toMatchObject({ code: "ERR_SUPERMACHINE_REGISTRY_AUTH" });
  });

  it("refuses wrong ones, which are shown nowhere", async () => {
    const error = await failureOf(pull(image, { registryAuth: BAD }));
    expect(error.message).toMatch(/401/);
    expectNoSecrets(error);
  });

  it.each([
    ["the host", (host: string) => ({ [host]: { auth } })],
    ["an address", (host: string) => ({ [`https://${host}/v1/`]: { auth } })],
    ["user name and password apart", (host: string) => ({ [host]: { username: USER, password: PASSWORD } })],
  ])("finds them in docker's configuration under %s", async (_form, auths) => {
    dockerConfig({ auths: auths(registry.host) });
    await pull(image);
  });

  it("finds them in podman's files, for a part of the registry too", async () => {
    write("run/containers/auth.json", { auths: { [`${registry.host}/team`]: { auth } } });
    await pull(image);
  });

  it("finds them in the file of REGISTRY_AUTH_FILE", async () => {
    vi.stubEnv("REGISTRY_AUTH_FILE", write("elsewhere.json", { auths: { [registry.host]: { auth } } }));
    await pull(image);
  });

  it("does not use those of another registry", async () => {
    dockerConfig({ auths: { "example.com": { auth }, [`${registry.host}0`]: { auth } } });
    await failureOf(pull(image));
  });

  it.each(["credHelpers", "credsStore"])("asks the helper of %s, without a shell", async (kind) => {
    const asked = join(client.folder, "asked");
    const answer = JSON.stringify({ ServerURL: registry.host, Username: USER, Secret: PASSWORD });
    installHelper("test", `cat > '${asked}'; echo "$1" >> '${asked}'; printf '%s' '${answer}'`);
    dockerConfig(kind === "credsStore" ? { credsStore: "test" } : { credHelpers: { [registry.host]: "test" } });
    await pull(image);
    const { readFileSync } = await import("node:fs");
    expect(readFileSync(asked, "utf8")).toBe(`${registry.host}get\n`);
  });

  it("uses the file where the helper knows nothing", async () => {
    installHelper("test", "echo 'credentials not found in native keychain'; exit 1");
    dockerConfig({ credsStore: "test", auths: { [registry.host]: { auth } } });
    await pull(image);
  });

  it.each([
    ["is not installed", undefined, /docker-credential-absent failed: it is not installed/],
    ["fails", `echo ${PASSWORD} >&2; exit 7`, /docker-credential-absent failed: it ended with 7/],
    ["talks nonsense", `echo ${PASSWORD}`, /gave no credentials that can be read/],
  ])("tells of a helper that %s", async (_how, script, message) => {
    if (script !== undefined) installHelper("absent", script);
    dockerConfig({ credsStore: "absent" });
    const error = await failureOf(pull(image));
    expect(error.message).toMatch(message);
    expectNoSecrets(error);
  });

  it("does not take a path for a helper's name", async () => {
    dockerConfig({ credsStore: "../../bin/sh" });
    expect((await failureOf(pull(image))).message).toMatch(/not valid/);
  });

  it("a configuration that is not JSON is named, but not shown", async () => {
    dockerConfig(`{"auths": {"${registry.host}": {"auth": "${auth}" oops`);
    const error: unknown = await pull(image).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect(String(error)).toMatch(/config\.json is not a file of registry credentials/);
    expectNoSecrets(error as Error);
  });

  it.each([
    { username: "", password: "x" },
    { username: "a:b", password: "x" },
    { username: "a", password: "" },
  ])("wants both halves of registryAuth: %j", async (registryAuth) => {
    await expect(pull(image, { registryAuth })).rejects.toThrow(UsageError);
  });
});

describe("a registry with tokens", () => {
  let registry: TestRegistry;
  let tokens: TokenServer;
  let image: string;
  const setUp = async () => {
    const signer = await makeSigner(certificates);
    tokens = cleanup.use(
      await startTokenServer(signer, { users: { [USER]: PASSWORD }, identityTokens: ["identity-42"] }),
    );
    registry = cleanup.use(await startRegistry({ tokens }));
    image = `${registry.host}/team/busybox:1`;
    await pushBusybox(image, { credentials: `${USER}:${PASSWORD}` });
  };
  beforeAll(setUp);
  beforeEach(async ({ task }) => {
    // An earlier try has left tokens behind, which are for its registry.
    if (task.result?.retryCount) await setUp();
    tokens.asked.length = 0;
    tokens.options.isClosed = false;
    tokens.options.expiresIn = 300;
  });

  it("is asked for one without credentials, for this repository alone, and once", async () => {
    await pull(image);
    expect(tokens.asked).toHaveLength(1);
    const [{ method, authorization, parameters }] = tokens.asked as [(typeof tokens.asked)[0]];
    expect({ method, authorization }).toEqual({ method: "GET", authorization: undefined });
    expect(parameters.get("service")).toBe(tokens.service);
    expect(parameters.getAll("scope")).toEqual(["repository:team/busybox:pull"]);
    await pull(image, { pull: "always" });
    expect(tokens.asked).toHaveLength(1);
  });

  it("gives one for a user name and a password", async () => {
    tokens.options.isClosed = true;
    await pull(image, { registryAuth: GOOD });
    expect(tokens.asked[0]?.authorization).toBe(`Basic ${auth}`);
  });

  it("gives one for an identity token, which is sent in the body of a POST", async () => {
    dockerConfig({ auths: { [registry.host]: { identitytoken: "identity-42" } } });
    await pull(image);
    expect(tokens.asked[0]?.method).toBe("POST");
    expect(tokens.asked[0]?.parameters.get("grant_type")).toBe("refresh_token");
  });

  it("gives one for the identity token of a helper", async () => {
    const answer = JSON.stringify({ ServerURL: registry.host, Username: "<token>", Secret: "identity-42" });
    installHelper("test", `printf '%s' '${answer}'`);
    // Another entry is used than in the test above, which would have left a token behind.
    dockerConfig({ credsStore: "test" });
    await pull(image);
  });

  it("gives a new one when the old one has expired", async () => {
    tokens.options.expiresIn = 1;
    // A client of its own, so that no token is left from another test.
    tokens.options.users = { ...tokens.options.users, short: "lived" };
    await pull(image, { registryAuth: { username: "short", password: "lived" } });
    expect(tokens.asked.length).toBeGreaterThan(1);
  });

  it("gives none without credentials when it is closed", async () => {
    tokens.options.isClosed = true;
    const error = await failureOf(pull(`${registry.host}/team/secret:1`));
    expect(error.message).toMatch(/gives no token without credentials[\s\S]*docker login/);
  });

  it("gives none without credentials, and a helper that failed is blamed", async () => {
    tokens.options.isClosed = true;
    dockerConfig({ credsStore: "absent" });
    const error = await failureOf(pull(`${registry.host}/team/secret:2`));
    expect(error.message).toMatch(/docker-credential-absent failed: it is not installed/);
  });

  it("refuses wrong credentials, which are shown nowhere", async () => {
    const error = await failureOf(pull(image, { registryAuth: BAD }));
    expect(error.message).toMatch(/refused the credentials/);
    expectNoSecrets(error);
  });
});
