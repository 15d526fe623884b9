import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { launch, launchEarly } from "../../../src/engine/qemu/launch.js";
import { isRunning } from "../../guest/agent-under-test.js";

const sh = (script: string, ...args: string[]) => launch(["sh", "-c", script, "sh", ...args]);

describe("a launched program", () => {
  test("gets its arguments as they are", async () => {
    const odd = ["", "a b", "$HOME", "'", '"', "\\", "new\nline", "--help", "ü"];
    const child = sh('printf "%s|" "$@"', ...odd);
    expect(await text(child.stdout as NodeJS.ReadableStream)).toBe(`${odd.join("|")}|`);
  });

  test("has an empty input, and its outputs apart", async () => {
    const child = sh("cat; echo out; echo err >&2; exit 3");
    const outputs = Promise.all([child.stdout, child.stderr].map((each) => text(each as NodeJS.ReadableStream)));
    const [code] = await once(child, "exit");
    expect([code, ...(await outputs)]).toEqual([3, "out\n", "err\n"]);
  });

  test("has a socket at each of the descriptors 3 to 6, both ways", async () => {
    const child = sh("for fd in 3 4 5 6; do read -r word <&$fd; echo $word $fd >&$fd; done");
    const answers = [3, 4, 5, 6].map(async (descriptor) => {
      const socket = child.stdio[descriptor] as Duplex;
      socket.write("hello\n");
      return (await buffer(socket)).toString();
    });
    expect(await Promise.all(answers)).toEqual(["hello 3\n", "hello 4\n", "hello 5\n", "hello 6\n"]);
  });

  test("that is not there ends with the shell's code and word", async () => {
    const child = launch(["/missing/program"]);
    const said = text(child.stderr as NodeJS.ReadableStream);
    const [code] = await once(child, "exit");
    expect(code).toBe(127);
    expect(await said).toContain("/missing/program");
  });
});

describe("a program that was launched ahead of time", () => {
  const command = ["sh", "-c", "echo $$; exec sleep 1000"];
  const pidOf = async (child: ChildProcess) => {
    const [bytes] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
    return Number(bytes);
  };
  const early = () => {
    launchEarly(command);
    return (Reflect.get(globalThis, Symbol.for("supermachine.early-worker")) as { child: ChildProcess }).child;
  };

  test("is what the launch of the same command gives, once", async () => {
    const started = early();
    await sleep(100);
    const child = launch(command);
    expect(child).toBe(started);
    expect(await pidOf(child)).toBe(child.pid);
    const second = launch(command);
    expect(second).not.toBe(started);
    for (const each of [child, second]) each.kill("SIGKILL");
  });

  test("ends when another command is launched", async () => {
    const started = early();
    const ended = once(started, "exit");
    const other = launch([...command, "other"]);
    expect(other).not.toBe(started);
    await ended;
    other.kill("SIGKILL");
  });

  test("keeps nobody alive, and ends with who launched it", async () => {
    const parent = fork(join(import.meta.dirname, "launch-early-child.ts"), { execArgv: ["--import", "tsx"] });
    const [pid] = (await once(parent, "message")) as [number];
    const [code] = await once(parent, "exit");
    expect(code).toBe(0);
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  test("is launched anew where it has ended meanwhile", async () => {
    const started = early();
    const ended = once(started, "exit");
    started.kill("SIGKILL");
    await ended;
    const child = launch(command);
    expect(await pidOf(child)).toBe(child.pid);
    child.kill("SIGKILL");
  });
});

describe.skipIf(process.platform !== "linux")("on Linux a launched program", () => {
  test("can gain no privileges, and has no capabilities where we are root", async () => {
    const child = sh("echo ready; exec sleep 1000");
    await once(child.stdout as NodeJS.ReadableStream, "data");
    const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
    child.kill("SIGKILL");
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m);
    if (process.getuid?.() !== 0) return;
    for (const set of ["CapPrm", "CapEff", "CapInh", "CapBnd"])
      expect(status).toMatch(new RegExp(`^${set}:\\s*0+$`, "m"));
  });

  test("is not reached by the signals of our terminal", async () => {
    const child = sh("echo ready; exec sleep 1000");
    await once(child.stdout as NodeJS.ReadableStream, "data");
    // PID (NAME) STATE PARENT GROUP SESSION ...
    const [, , group, session] = readFileSync(`/proc/${child.pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    child.kill("SIGKILL");
    expect([group, session]).toEqual([String(child.pid), String(child.pid)]);
  });

  test.each([
    ["is killed", (child: ReturnType<typeof fork>) => child.kill("SIGKILL")],
    ["exits", (child: ReturnType<typeof fork>) => child.send("exit")],
  ])("does not outlive a parent that %s", async (_, end) => {
    const parent = fork(join(import.meta.dirname, "launch-child.ts"), { execArgv: ["--import", "tsx"] });
    const [pid] = (await once(parent, "message")) as [number];
    expect(isRunning(pid)).toBe(true);
    const ended = once(parent, "exit");
    end(parent);
    await ended;
    for (let i = 0; i < 200 && isRunning(pid); i++) await sleep(10);
    expect(isRunning(pid)).toBe(false);
  });
});
