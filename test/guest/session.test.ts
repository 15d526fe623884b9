import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Agent, type GuestProcess } from "../../src/guest/index.js";
import { run, session, startAgent, startAgentProcess } from "./agent-under-test.js";

test("an agent that was left for another one on the same links fails what it had, and no more comes to it", async () => {
  await using process = startAgentProcess("plain");
  const first = await Agent.connect(process.links, { timeoutMs: 20_000 });
  const cat = await first.exec({ argv: ["cat"], stdin: "pipe" });
  const ended = cat.wait().catch((error: unknown) => error);
  await first.quiesce();
  first.detach();
  expect(await ended).toMatchObject({
    code: "ERR_SUPERMACHINE_VM",
    message: expect.stringMatching(/another one began/),
  });
  const second = await Agent.connect(process.links, { timeoutMs: 20_000 });
  expect((await run(second, ["echo", "hello"])).stdout.toString()).toBe("hello\n");
  await expect(first.exec({ argv: ["true"] })).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
  expect(await first.closed).toBeUndefined();
  second.close();
});

describe.each(["plain", "sanitized"] as const)("sessions (%s agent)", (build) => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "agent-session-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, maxRetries: 10 }));

  test("begin again and again on the same agent, each with its own streams", async () => {
    await using process = startAgentProcess(build);
    for (let i = 0; i < 10; i++) {
      const { agent, abandon } = await session(process);
      expect((await run(agent, ["echo", `${i}`])).stdout.toString()).toBe(`${i}\n`);
      abandon();
    }
  }, 60_000);

  test("begin in the middle of the former one's output", async () => {
    await using process = startAgentProcess(build);
    const first = await session(process);
    const shouting = await first.agent.exec({ argv: ["yes"], link: "bulk" });
    await once(shouting.stdout, "readable");
    const talking = await first.agent.exec({ argv: ["yes"] });
    await once(talking.stdout, "readable");
    first.abandon();
    const second = await session(process);
    expect((await run(second.agent, ["echo", "fresh"], { link: "bulk" })).stdout.toString()).toBe("fresh\n");
    expect((await run(second.agent, ["echo", "fresh"])).stdout.toString()).toBe("fresh\n");
    await run(second.agent, ["kill", `${shouting.pid}`, `${talking.pid}`]);
    second.abandon();
  }, 30_000);

  test("leave the processes of the former one alive, whatever they write", async () => {
    await using process = startAgentProcess(build);
    const first = await session(process);
    const script = `trap 'echo term; exit' TERM; cat >/dev/null; echo eof >${folder}/eof; while :; do echo line; echo line >&2; done & wait`;
    const left: GuestProcess = await first.agent.exec({ argv: ["/bin/sh", "-c", script], stdin: "pipe" });
    first.abandon();
    const second = await session(process);
    await expect.poll(() => readdirSync(folder)).toEqual(["eof"]);
    await sleep(200);
    const check = await run(second.agent, ["/bin/sh", "-c", `kill -0 ${left.pid} && kill -9 -${left.pid}`]);
    expect(check.exitCode).toBe(0);
    second.abandon();
  }, 30_000);

  test("stop the file operations of the former one without a trace", async () => {
    await using process = startAgentProcess(build);
    const first = await session(process);
    writeFileSync(join(folder, "f"), "old");
    const endless = (async function* () {
      for (;;) {
        yield Buffer.alloc(10_000);
        await sleep(1);
      }
    })();
    const writing = first.agent.files.write(join(folder, "f"), endless);
    writing.catch(() => {});
    await expect.poll(() => readdirSync(folder).length).toBe(2);
    first.abandon();
    await expect(writing).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    const second = await session(process);
    await expect.poll(() => readdirSync(folder)).toEqual(["f"]);
    expect(readFileSync(join(folder, "f"), "utf8")).toBe("old");
    second.abandon();
  }, 30_000);

  test("come to rest for a snapshot and go on as if nothing had been", async () => {
    await using running = await startAgent(build);
    const { agent } = running;
    const cat = await agent.exec({ argv: ["cat"], stdin: "pipe" });
    let output = "";
    cat.stdout.on("data", (chunk) => {
      output += chunk;
    });
    for (let i = 0; i < 20; i++) {
      cat.stdin.write(`before ${i}\n`);
      await agent.quiesce();
      // Waits on our side until the end of the rest.
      cat.stdin.write(`during ${i}\n`);
      const other = run(agent, ["echo", "other"]);
      await sleep(2);
      expect(output).not.toContain(`during ${i}`);
      agent.resume();
      expect((await other).stdout.toString()).toBe("other\n");
    }
    cat.stdin.end();
    expect(await cat.wait()).toMatchObject({ exitCode: 0 });
    expect(output).toBe(Array.from({ length: 20 }, (_, i) => `before ${i}\nduring ${i}\n`).join(""));
  }, 30_000);

  test("come to rest in the middle of a large copy, which is whole afterwards", async () => {
    await using running = await startAgent(build);
    const content = randomBytes(20_000_000);
    const writing = running.agent.files.write(join(folder, "big"), content);
    for (let i = 0; i < 10; i++) {
      await running.agent.quiesce();
      running.agent.resume();
    }
    await writing;
    expect(readFileSync(join(folder, "big")).equals(content)).toBe(true);
    const reading = running.agent.files.read(join(folder, "big"));
    for (let i = 0; i < 10; i++) {
      await running.agent.quiesce();
      running.agent.resume();
    }
    expect((await reading).equals(content)).toBe(true);
  }, 60_000);

  test("end with a shutdown, and with the agent", async () => {
    await using running = await startAgent(build);
    await running.agent.shutdown();
    expect(await running.process.exited).toBe(0);
    expect(await running.agent.closed).toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect(running.agent.exec({ argv: ["true"] })).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect(running.agent.quiesce()).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
  });

  test("fail everything that is pending when the guest dies", async () => {
    await using running = await startAgent(build);
    const sleeper = await running.agent.exec({ argv: ["sleep", "1000"] });
    sleeper.stdout.on("error", () => {});
    const reading = running.agent.files.read("/dev/zero");
    reading.catch(() => {});
    process.kill(running.process.pid, "SIGKILL");
    await expect(sleeper.wait()).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect(reading).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect(running.agent.files.write("/tmp/x", "")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    process.kill(sleeper.pid);
  });

  test("carry what the caller gave as the reason of closing", async () => {
    await using running = await startAgent(build);
    const sleeper = await running.agent.exec({ argv: ["sleep", "1000"] });
    const reason = new Error("the worker ended");
    running.agent.close(reason);
    await expect(sleeper.wait()).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM", cause: reason });
    expect(await running.agent.closed).toBe(reason);
    process.kill(sleeper.pid);
  });

  test("refuse a root before it is assembled only where there is one to assemble", async () => {
    await using running = await startAgent(build);
    await expect(running.agent.assembleRoot({ luns: [] })).rejects.toThrow("already been assembled");
  });
});
