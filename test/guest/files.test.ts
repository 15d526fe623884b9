import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type RunningAgent, startAgent } from "./agent-under-test.js";

const isRoot = process.getuid?.() === 0;

describe.each(["plain", "sanitized"] as const)("files (%s agent)", (build) => {
  let running: RunningAgent;
  let folder: string;
  beforeAll(async () => {
    running = await startAgent(build);
  }, 120_000);
  afterAll(() => running[Symbol.asyncDispose]());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "agent-files-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, maxRetries: 10 }));

  const path = (name: string) => join(folder, name);
  const write = (...args: Parameters<RunningAgent["agent"]["files"]["write"]>) => running.agent.files.write(...args);
  const read = (...args: Parameters<RunningAgent["agent"]["files"]["read"]>) => running.agent.files.read(...args);

  test.each([0, 1, 4_095, 32_768, 262_145, 5_000_000])("of %i bytes come back as they were written", async (size) => {
    const content = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    await write(path("f"), content);
    expect(readFileSync(path("f")).equals(content)).toBe(true);
    expect((await read(path("f"))).equals(content)).toBe(true);
  });

  test("are written from strings, streams and generators", async () => {
    await write(path("s"), "grüße\n");
    await write(path("r"), Readable.from([Buffer.from("a"), "b", Buffer.alloc(100_000, "c")]));
    await write(
      path("g"),
      (async function* () {
        yield "x";
        yield Buffer.from("y");
      })(),
    );
    expect(readFileSync(path("s"), "utf8")).toBe("grüße\n");
    expect(readFileSync(path("r"), "utf8")).toBe(`ab${"c".repeat(100_000)}`);
    expect(readFileSync(path("g"), "utf8")).toBe("xy");
  });

  test("can be read in part", async () => {
    writeFileSync(path("f"), "0123456789");
    expect((await read(path("f"), { offset: 3, length: 4 })).toString()).toBe("3456");
    expect((await read(path("f"), { offset: 8, length: 100 })).toString()).toBe("89");
    expect((await read(path("f"), { offset: 100 })).length).toBe(0);
  });

  test("of /proc, which claim to be empty, are read too", async () => {
    expect((await read("/proc/version")).toString()).toMatch(/^Linux version/);
  });

  test("get the mode that is given; a new one is 0644, a replaced one keeps its own", async () => {
    await write(path("new"), "1");
    await write(path("given"), "1", { mode: 0o4711 });
    writeFileSync(path("old"), "0", { mode: 0o600 });
    await write(path("old"), "1");
    const mode = (name: string) => (statSync(path(name)).mode & 0o7777).toString(8);
    expect([mode("new"), mode("given"), mode("old")]).toEqual(["644", "4711", "600"]);
  });

  test.runIf(isRoot)("get the owner that is given; a replaced one keeps its own", async () => {
    writeFileSync(path("old"), "0");
    chownSync(path("old"), 1234, 5678);
    await write(path("old"), "1");
    await write(path("given"), "1", { user: "4321:8765" });
    expect(statSync(path("old"))).toMatchObject({ uid: 1234, gid: 5678 });
    expect(statSync(path("given"))).toMatchObject({ uid: 4321, gid: 8765 });
    await expect(write(path("x"), "1", { user: "nobody-of-that-name" })).rejects.toMatchObject({ errno: "ENOENT" });
  });

  test("get the folders above them when that is asked for", async () => {
    await expect(write(path("a/b/c"), "1")).rejects.toMatchObject({ errno: "ENOENT", path: path("a/b/c") });
    await write(path("a/b/c"), "1", { createParents: true });
    expect(readFileSync(path("a/b/c"), "utf8")).toBe("1");
  });

  test("are written through links, also to what does not exist yet", async () => {
    mkdirSync(path("d"));
    writeFileSync(path("d/target"), "0");
    symlinkSync("d/target", path("link"));
    symlinkSync("d/new", path("dangling"));
    symlinkSync("loop", path("loop"));
    await write(path("link"), "1");
    await write(path("dangling"), "2");
    expect(readFileSync(path("d/target"), "utf8")).toBe("1");
    expect(readFileSync(path("d/new"), "utf8")).toBe("2");
    await expect(write(path("loop"), "3")).rejects.toMatchObject({ errno: "ELOOP" });
  });

  test("that are devices are written to and stay devices", async () => {
    await write("/dev/null", "gone");
    expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  test.each([
    ["read", "missing", "ENOENT"],
    ["read", "", "EISDIR"],
    ["write", "", "EISDIR"],
    ["read", "file/x", "ENOTDIR"],
    ["write", "file/x", "ENOTDIR"],
    ["write", `${"n".repeat(300)}`, "ENAMETOOLONG"],
  ])("that cannot be had give the guest's errno: %s %j gives %s", async (verb, name, errno) => {
    writeFileSync(path("file"), "1");
    const attempt = verb === "read" ? read(path(name)) : write(path(name), "1");
    await expect(attempt).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_GUEST_FILE", errno });
  });

  test("are whole or absent: a source that fails leaves the old file and nothing else", async () => {
    writeFileSync(path("f"), "old");
    const failing = (async function* () {
      yield Buffer.alloc(200_000);
      throw new Error("source broke");
    })();
    await expect(write(path("f"), failing)).rejects.toThrow("source broke");
    // The agent has heard of it from here on.
    await running.agent.quiesce();
    running.agent.resume();
    await expect.poll(() => readdirSync(folder)).toEqual(["f"]);
    expect(readFileSync(path("f"), "utf8")).toBe("old");
  });

  test("are whole or absent: an aborted writing leaves nothing", async () => {
    const controller = new AbortController();
    const endless = (async function* () {
      for (;;) {
        yield Buffer.alloc(10_000);
        await sleep(1);
      }
    })();
    const writing = write(path("f"), endless, { signal: controller.signal });
    await expect.poll(() => readdirSync(folder).length).toBe(1);
    controller.abort(new Error("enough"));
    await expect(writing).rejects.toThrow("enough");
    await expect.poll(() => readdirSync(folder)).toEqual([]);
    expect(existsSync(path("f"))).toBe(false);
  });

  test("are whole or absent: a connection that breaks leaves nothing", async () => {
    await using other = await startAgent(build);
    const neverEnding = (async function* () {
      yield Buffer.alloc(100_000);
      await new Promise(() => {});
    })();
    const writing = other.agent.files.write(path("f"), neverEnding);
    writing.catch(() => {});
    await expect.poll(() => readdirSync(folder).length).toBe(1);
    other.agent.close();
    await expect(writing).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect.poll(() => readdirSync(folder)).toEqual([]);
  });

  test("can be left half read", async () => {
    writeFileSync(path("f"), Buffer.alloc(8_000_000));
    for (let i = 0; i < 3; i++) {
      const stream = running.agent.files.openRead(path("f"));
      for await (const chunk of stream) {
        expect((chunk as Buffer).length).toBeGreaterThan(0);
        break;
      }
    }
    expect((await read(path("f"))).length).toBe(8_000_000);
  });

  test("are refused by name before anything is sent", async () => {
    await expect(read("a\0b")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
    await expect(write("", "x")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
    await expect(read("/x", { offset: -1 })).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
  });

  test.runIf(isRoot)("cannot be reached outside the root, by no link and no dots", async () => {
    mkdirSync(path("root/etc"), { recursive: true });
    symlinkSync("/outside", path("root/link"));
    symlinkSync("../../../../../outside", path("root/etc/up"));
    writeFileSync(path("outside"), "secret");
    await using confined = await startAgent(build, { root: path("root") });
    for (const name of ["/link", "/etc/up", "/../outside", "/etc/../../outside"]) {
      await expect(confined.agent.files.read(name)).rejects.toMatchObject({ errno: "ENOENT" });
    }
    await confined.agent.files.write("/link", "inside");
    expect(readFileSync(path("outside"), "utf8")).toBe("secret");
    expect(readFileSync(path("root/outside"), "utf8")).toBe("inside");
  });
});
