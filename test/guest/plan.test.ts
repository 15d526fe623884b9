import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExecRequest } from "../../src/guest/index.js";
import { isRunning, type RunningAgent, run, startAgent } from "./agent-under-test.js";

describe.each(["plain", "sanitized"] as const)("commands with more to them (%s agent)", (build) => {
  let running: RunningAgent;
  const folder = mkdtempSync(join(tmpdir(), "supermachine-plan-"));
  beforeAll(async () => {
    chmodSync(folder, 0o755);
    running = await startAgent(build);
  }, 120_000);
  afterAll(async () => {
    await running[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const sh = (script: string) => ["/bin/sh", "-c", script];
  const shell = (script: string, options: Partial<ExecRequest> & { input?: string } = {}) =>
    run(running.agent, sh(script), options);

  test("a chain goes on while its commands succeed, on the same streams", async () => {
    const result = await shell("echo one; read a; echo $a", {
      input: "in1\nin2\n",
      chain: [sh("echo two; echo error >&2"), sh("exit 4"), sh("echo never")],
    });
    expect(result).toMatchObject({ exitCode: 4, step: 2, truncated: false });
    expect(result.stdout.toString()).toBe("one\nin1\ntwo\n");
    expect(result.stderr.toString()).toBe("error\n");
  });

  test("a chain that succeeds has the end of its last command", async () => {
    const result = await shell("true", { chain: [sh("echo x"), sh("kill -TERM $$")] });
    expect(result).toMatchObject({ exitCode: null, signal: "SIGTERM", step: 2 });
    expect(result.stdout.toString()).toBe("x\n");
  });

  test("a chain's command that is not there is named, after the output of those before", async () => {
    const process = await running.agent.exec({
      argv: sh("echo first"),
      chain: [["missing-command"], sh("echo never")],
    });
    let output = "";
    process.stdout.on("data", (chunk) => {
      output += chunk;
    });
    process.stdout.on("error", () => {});
    await expect(process.wait()).rejects.toMatchObject({
      errno: "ENOENT",
      step: 1,
      message: expect.stringContaining("missing-command"),
    });
    expect(output).toBe("first\n");
    await expect(run(running.agent, ["missing"], { chain: [sh("true")] })).rejects.toMatchObject({ step: 0 });
  });

  test("a killed chain does not go on", async () => {
    const process = await running.agent.exec({ argv: ["sleep", "1000"], chain: [sh(`touch ${folder}/never`)] });
    process.kill("SIGKILL");
    expect(await process.wait()).toMatchObject({ signal: "SIGKILL", step: 0 });
    expect(() => statSync(join(folder, "never"))).toThrow();
  });

  test("an aborted chain does not go on either", async () => {
    const controller = new AbortController();
    const request = { argv: sh("trap 'exit 0' TERM; sleep 1000 & wait"), chain: [sh(`touch ${folder}/never`)] };
    const process = await running.agent.exec(request, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(process.wait()).rejects.toThrow("enough");
    await expect.poll(() => isRunning(process.pid)).toBe(false);
    expect((await shell("echo ok")).stdout.toString()).toBe("ok\n");
    expect(() => statSync(join(folder, "never"))).toThrow();
  });

  test("files are there when the command starts, of its user, with their folders", async () => {
    const path = join(folder, build, "deep/er/file");
    const content = Buffer.alloc(300_000, "0123456789");
    const result = await shell(`wc -c < ${path}; ${path}.sh; stat -c %u ${path}`, {
      user: "1234",
      files: [
        { path, mode: 0o640, content },
        { path: `${path}.sh`, mode: 0o755, content: "#!/bin/sh\necho ran by $(id -u)\n" },
      ],
    });
    expect(result.stdout.toString()).toBe("300000\nran by 1234\n1234\n");
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(statSync(path).mode & 0o7777).toBe(0o640);
  });

  test("a file that cannot be written is why the command does not start", async () => {
    const files = [{ path: "/proc/no/such", mode: 0o644, content: "x" }];
    await expect(shell(`touch ${folder}/never`, { files })).rejects.toMatchObject({ stage: "files", errno: "ENOENT" });
    expect(() => statSync(join(folder, "never"))).toThrow();
  });

  test("limits hold for the command and its children", async () => {
    const rlimits = [
      { resource: 7, soft: 100, hard: 200 },
      { resource: 4, soft: 0, hard: 0 },
      { resource: 0, soft: Infinity, hard: Infinity },
    ];
    const result = await shell("ulimit -n; ulimit -Hn; ulimit -c; ulimit -t", { rlimits, chain: [sh("ulimit -n")] });
    expect(result.stdout.toString()).toBe("100\n200\n0\nunlimited\n100\n");
  });

  test("a thousand chains and staged files leave no memory, descriptor or process behind", async () => {
    const open = async () => Number((await shell(`ls /proc/${running.process.pid}/fd | wc -l`)).stdout);
    const before = await open();
    for (let i = 0; i < 20; i++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          run(running.agent, ["true"], {
            chain: [n % 2 ? ["true"] : ["false"], ["true"]],
            files: [{ path: join(folder, `many${n}`), mode: 0o600, content: "x" }],
          }),
        ),
      );
    }
    await expect.poll(open).toBeLessThanOrEqual(before);
  }, 120_000);
});

describe("processes", () => {
  test("are listed, and sent signals, by number", async () => {
    await using running = await startAgent("plain");
    const process = await running.agent.exec({ argv: ["sleep", "1234.5"], keepOutputBytes: 4096 });
    const found = (await running.agent.processes()).find(({ pid }) => pid === process.pid);
    expect(found).toMatchObject({
      parentPid: running.process.pid,
      uid: 0,
      name: "sleep",
      argv: ["sleep", "1234.5"],
      isCommand: true,
      isAttachable: true,
    });
    expect(found?.memoryBytes).toBeGreaterThan(0);
    expect(await running.agent.signal(process.pid, "SIGTERM", true)).toBe(true);
    expect(await process.wait()).toMatchObject({ signal: "SIGTERM" });
    expect(await running.agent.signal(process.pid, "SIGTERM")).toBe(false);
    await expect(running.agent.signal(1, "SIGKILL")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
    await expect(running.agent.signal(0, "SIGKILL")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
  });
});
