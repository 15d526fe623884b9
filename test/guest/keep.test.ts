import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ExecRequest, GuestProcess } from "../../src/guest/index.js";
import { isRunning, type RunningAgent, run, session, startAgent, startAgentProcess } from "./agent-under-test.js";

const KEEP = 65_536;

describe.each(["plain", "sanitized"] as const)("commands whose output is kept (%s agent)", (build) => {
  let running: RunningAgent;
  beforeEach(async () => {
    running = await startAgent(build);
  }, 120_000);
  afterEach(() => running[Symbol.asyncDispose]());

  const start = (script: string, options: Partial<ExecRequest> = {}): Promise<GuestProcess> =>
    running.agent.exec({ argv: ["/bin/sh", "-c", script], keepOutputBytes: KEEP, ...options });

  test("go on when they are left, and tell who comes back what they have said meanwhile", async () => {
    const first = await start("echo one; read line; echo got $line; echo error >&2; exit 3", { stdin: "pipe" });
    expect(await firstOf(first)).toBe("one\n");
    first.detach();
    await expect(first.wait()).rejects.toThrow("detached");
    const second = await running.agent.attach(first.pid);
    expect(second.pid).toBe(first.pid);
    expect(await firstOf(second)).toBe("one\n");
    second.stdin.write("hello\n");
    const [out, err] = await Promise.all([rest(second.stdout), rest(second.stderr)]);
    expect({ out, err }).toEqual({ out: "got hello\n", err: "error\n" });
    expect(await second.wait()).toMatchObject({ exitCode: 3, truncated: false });
    await expect(running.agent.attach(first.pid)).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
  });

  test("that have ended are still there for one to hear of it", async () => {
    const process = await start("sleep 0.3; echo last words; kill -9 $$");
    process.detach();
    await expect.poll(() => isRunning(process.pid)).toBe(false);
    const attached = await running.agent.attach(process.pid);
    expect(await rest(attached.stdout)).toBe("last words\n");
    expect(await attached.wait()).toMatchObject({ signal: "SIGKILL" });
  });

  test("live on through a new session, as after a restore", async () => {
    await using process = startAgentProcess(build);
    const { agent, abandon } = await session(process);
    const argv = ["/bin/sh", "-c", "echo before; sleep 0.3; echo after; sleep 1000"];
    const command = await agent.exec({ argv, keepOutputBytes: KEEP });
    expect(await firstOf(command)).toBe("before\n");
    abandon();
    const { agent: other } = await session(process);
    await sleep(600);
    const attached = await other.attach(command.pid);
    let output = "";
    attached.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await expect.poll(() => output).toBe("before\nafter\n");
    attached.kill("SIGKILL");
    expect(await attached.wait()).toMatchObject({ signal: "SIGKILL" });
  });

  test("keep the last of a long output, and say how much is lost", async () => {
    const process = await start("i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done; echo end");
    process.detach();
    await expect.poll(() => isRunning(process.pid), { timeout: 20_000 }).toBe(false);
    const attached = await running.agent.attach(process.pid);
    const output = await rest(attached.stdout);
    expect(output).toMatch(/line 39998\nline 39999\nend\n$/);
    expect(output.length).toBeLessThanOrEqual(KEEP);
    expect(output.length).toBeGreaterThan(KEEP / 2);
    const whole = Array.from({ length: 40_000 }, (_, i) => `line ${i}\n`.length).reduce((a, b) => a + b) + 4;
    expect(attached.lostBytes).toBe(whole - output.length);
  });

  test("have one who is connected at a time", async () => {
    const process = await start("sleep 1000");
    await expect(running.agent.attach(process.pid)).rejects.toThrow("attached to the command already");
    process.kill("SIGKILL");
    await process.wait();
  });

  test("others cannot be attached to, nor what is no command", async () => {
    const plain = await running.agent.exec({ argv: ["sleep", "1000"] });
    plain.detach();
    expect(isRunning(plain.pid)).toBe(true);
    await expect(running.agent.attach(plain.pid)).rejects.toThrow("no such command");
    await expect(running.agent.attach(1)).rejects.toThrow("no such command");
  });

  test("on a terminal keep it", async () => {
    const process = await start("stty size; read line; stty size; echo got $line", { tty: { rows: 10, cols: 20 } });
    expect(await firstOf(process)).toBe("10 20\r\n");
    process.detach();
    const attached = await running.agent.attach(process.pid);
    attached.resize({ rows: 30, cols: 40 });
    attached.stdin.write("x\n");
    expect(await rest(attached.stdout)).toBe("10 20\r\nx\r\n30 40\r\ngot x\r\n");
    expect(await attached.wait()).toMatchObject({ exitCode: 0 });
  });

  test("are dropped, the oldest first, when many have ended unheard", async () => {
    const pids: number[] = [];
    for (let i = 0; i < 70; i++) {
      const process = await start(`sleep 0.5; echo ${i}`);
      process.detach();
      pids.push(process.pid);
      // The first is the oldest also where the others do not end in their order.
      if (i === 0) await expect.poll(() => isRunning(process.pid)).toBe(false);
    }
    await expect.poll(() => pids.some(isRunning)).toBe(false);
    // After which the agent has reaped all that ended before.
    await run(running.agent, ["true"]);
    await expect(running.agent.attach(pids[0] ?? 0)).rejects.toThrow("no such command");
    const last = await running.agent.attach(pids[69] ?? 0);
    expect(await rest(last.stdout)).toBe("69\n");
  });
});

async function firstOf(process: GuestProcess): Promise<string> {
  return await new Promise((resolve) => process.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())));
}

async function rest(stream: GuestProcess["stdout"]): Promise<string> {
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk;
  });
  await new Promise((resolve) => stream.once("end", resolve));
  return text;
}
