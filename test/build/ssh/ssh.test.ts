import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSshAgent, parseSsh, relayRequest } from "../../../src/build/ssh/index.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-ssh-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function makeKey(name: string, passphrase = ""): string {
  const path = join(folder, name);
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", path]);
  return path;
}

/** The bytes of a public key. */
function blobOf(path: string): Buffer {
  return Buffer.from(readFileSync(`${path}.pub`, "utf8").split(" ")[1] ?? "", "base64");
}

describe("--ssh", () => {
  test.each([
    ["default", { id: "default", paths: [] }],
    ["github=/run/agent.sock", { id: "github", paths: ["/run/agent.sock"] }],
    ["a=one,two", { id: "a", paths: ["one", "two"] }],
  ])("%s", (text, expected) => {
    expect(parseSsh(text)).toEqual(expected);
  });

  test.each(["", "=x", "a=", "a=x,,y"])("%j is refused", (text) => {
    expect(() => parseSsh(text)).toThrow("is not of the form");
  });
});

describe("an agent of key files", () => {
  test("lists and signs, and is gone afterwards", async () => {
    const keys = [makeKey("one"), makeKey("two")];
    const agent = await openSshAgent("default", keys);
    try {
      const listed = await relayRequest(agent.socket, Buffer.from([11]));
      expect(listed[0]).toBe(12);
      for (const key of keys) expect(listed.includes(blobOf(key))).toBe(true);
      const string = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]);
      const data = createHash("sha256").update("data").digest();
      const request = [Buffer.from([13]), string(blobOf(keys[0] ?? "")), string(data), Buffer.alloc(4)];
      expect((await relayRequest(agent.socket, Buffer.concat(request)))[0]).toBe(14);
    } finally {
      await agent[Symbol.asyncDispose]();
    }
    await expect(stat(agent.socket)).rejects.toThrow("ENOENT");
    expect(await relayRequest(agent.socket, Buffer.from([11]))).toEqual(Buffer.from([5]));
  });

  test("keys cannot be added, removed, locked or anything else", async () => {
    const agent = await openSshAgent("default", [makeKey("one")]);
    try {
      for (const type of [9, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 0, 255])
        expect(await relayRequest(agent.socket, Buffer.from([type, 0, 0, 0, 0]))).toEqual(Buffer.from([5]));
      expect((await relayRequest(agent.socket, Buffer.from([11]))).readUInt32BE(1)).toBe(1);
    } finally {
      await agent[Symbol.asyncDispose]();
    }
  });

  test.each([
    ["a key with a passphrase", () => [makeKey("locked", "secret")], "cannot be used"],
    ["a file that is not there", () => [join(folder, "none")], "ENOENT"],
    ["a file that is no key", () => [no("key")], "cannot be used"],
  ])("%s is refused", async (_what, paths, words) => {
    await expect(openSshAgent("default", paths())).rejects.toThrow(words);
  });

  function no(name: string): string {
    const path = join(folder, name);
    writeFileSync(path, "nothing", { mode: 0o600 });
    return path;
  }
});

test("without a path it is the agent of the environment, and without that an error", async () => {
  const socket = join(folder, "agent");
  const server = createServer().listen(socket);
  await new Promise((resolve) => server.once("listening", resolve));
  expect((await openSshAgent("default", [], { SSH_AUTH_SOCK: socket })).socket).toBe(socket);
  await expect(openSshAgent("a", [socket, makeKey("one")])).rejects.toThrow("one socket or some key files");
  server.close();
  await expect(openSshAgent("default", [], {})).rejects.toThrow("SSH_AUTH_SOCK is not set");
});

test.each([
  ["that is too long", Buffer.from([0, 5, 0, 0, 12])],
  ["without content", Buffer.from([0, 0, 0, 0])],
  ["with more behind it", Buffer.from([0, 0, 0, 1, 12, 12])],
])("an answer %s is none", async (_what, bytes) => {
  const socket = join(folder, "agent");
  const server = createServer((connection) => connection.on("error", () => undefined).end(bytes)).listen(socket);
  await new Promise((resolve) => server.once("listening", resolve));
  expect(await relayRequest(socket, Buffer.from([11]))).toEqual(Buffer.from([5]));
  server.close();
});
