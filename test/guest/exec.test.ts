import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ExecFailure } from "../../src/guest/index.js";
import { isRunning, type RunningAgent, run, startAgent } from "./agent-under-test.js";

describe.each(["plain", "sanitized"] as const)("commands (%s agent)", (build) => {
  let running: RunningAgent;
  beforeAll(async () => {
    running = await startAgent(build);
  }, 120_000);
  afterAll(() => running[Symbol.asyncDispose]());

  const shell = (script: string, options = {}) => run(running.agent, ["/bin/sh", "-c", script], options);

  test("keep standard output and error apart and give the exit code", async () => {
    const result = await shell("echo out; echo err >&2; exit 3");
    expect(result).toMatchObject({ exitCode: 3, signal: null, truncated: false });
    expect(result.stdout.toString()).toBe("out\n");
    expect(result.stderr.toString()).toBe("err\n");
  });

  test("report the signal that killed them", async () => {
    expect(await shell("kill -9 $$")).toMatchObject({ exitCode: null, signal: "SIGKILL" });
    expect(await shell("kill -TERM $$")).toMatchObject({ exitCode: null, signal: "SIGTERM" });
  });

  test("get exactly the environment that was given, and docker's PATH and HOME", async () => {
    const result = await run(running.agent, ["env"], { env: { A: "1", "B C": "x=y\nz" } });
    const lines = result.stdout.toString();
    expect(lines).toContain("A=1\nB C=x=y\nz\n");
    expect(lines).toContain("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    expect(lines).toContain("HOME=/root\n");
    expect(lines).not.toContain("ASAN_OPTIONS");
    expect((await run(running.agent, ["env"], { env: { PATH: "/bin:/usr/bin", HOME: "/h" } })).stdout.toString()).toBe(
      "PATH=/bin:/usr/bin\nHOME=/h\n",
    );
  });

  test("are looked for in each folder of the PATH, past those without them, with one that cannot be run, or that are none", async () => {
    const folder = mkdtempSync(join(tmpdir(), "supermachine-path-"));
    try {
      writeFileSync(join(folder, "env"), "", { mode: 0o644 });
      const path = `/nowhere:/etc/passwd:${folder}:/bin:/usr/bin`;
      const found = await run(running.agent, ["env"], { env: { PATH: path, HOME: "/h" } });
      expect(found.stdout.toString()).toBe(`PATH=${path}\nHOME=/h\n`);
      const refused = run(running.agent, ["env"], { env: { PATH: `${folder}:/nowhere` } });
      await expect(refused).rejects.toMatchObject({ errno: "EACCES", exitCode: 126 });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("are looked up in the PATH that they are given", async () => {
    await expect(run(running.agent, ["env"], { env: { PATH: "/nowhere::/var" } })).rejects.toMatchObject({
      errno: "ENOENT",
      stage: "command",
      exitCode: 127,
    });
  });

  test.each([
    [["/nonexistent/program"], "ENOENT", 127],
    [["/etc/passwd"], "EACCES", 126],
    [["/etc/passwd/x"], "ENOTDIR", 127],
    [["/tmp"], "EACCES", 126],
    [["no-such-command"], "ENOENT", 127],
  ])("that cannot start say why: %j gives %s", async (argv, errno, exitCode) => {
    const failure = await run(running.agent, argv).catch((error: ExecFailure) => error);
    expect(failure).toMatchObject({ errno, exitCode, stage: "command", code: "ERR_SUPERMACHINE_EXEC" });
  });

  test("start in their working directory, which must exist", async () => {
    expect((await shell("pwd", { cwd: "/usr/bin" })).stdout.toString()).toBe("/usr/bin\n");
    expect((await shell("pwd")).stdout.toString()).toBe("/\n");
    await expect(shell("pwd", { cwd: "/nonexistent" })).rejects.toMatchObject({
      errno: "ENOENT",
      stage: "cwd",
      exitCode: 126,
    });
  });

  test("read what is sent to standard input, to its end", async () => {
    const input = Buffer.alloc(1_500_000, "0123456789abcdef");
    const result = await run(running.agent, ["cat"], { input });
    expect(result.stdout.equals(input)).toBe(true);
  });

  test("have /dev/null as standard input unless one is asked for", async () => {
    expect((await run(running.agent, ["cat"])).stdout.length).toBe(0);
  });

  test("that do not read their input end all the same", async () => {
    const result = await run(running.agent, ["true"], { input: Buffer.alloc(3_000_000) });
    expect(result.exitCode).toBe(0);
  });

  test("deliver large output whole, also over the bulk link", async () => {
    const result = await shell("head -c 20000000 /dev/zero | tr '\\0' 'x'; echo end", { link: "bulk" });
    expect(result.stdout.length).toBe(20_000_004);
    expect(result.stdout.subarray(-6).toString()).toBe("xxend\n");
  });

  test("can have their error output merged in order", async () => {
    const result = await shell("echo 1; echo 2 >&2; echo 3", { mergeStderr: true });
    expect(result.stdout.toString()).toBe("1\n2\n3\n");
    expect(result.stderr.length).toBe(0);
  });

  test("get a real terminal when asked for one", async () => {
    const result = await shell("tty; stty size; echo $TERM; test -t 0 && test -t 2 && echo yes", {
      tty: { rows: 33, cols: 99 },
    });
    expect(result.stdout.toString()).toMatch(/^\/dev\/pts\/\d+\r\n33 99\r\nxterm\r\nyes\r\n$/);
  });

  test("see their terminal change its size", async () => {
    const process = await running.agent.exec({
      argv: ["/bin/sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"],
      tty: { rows: 24, cols: 80 },
    });
    let output = "";
    process.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await expect.poll(() => output).toContain("ready");
    process.resize({ rows: 50, cols: 132 });
    await process.wait();
    expect(output).toBe("ready\r\n50 132\r\n");
  });

  test("edit whole characters of UTF-8 on their terminal", async () => {
    const result = await shell("head -n 1 | od -An -c", { tty: { rows: 24, cols: 80 }, input: "aü\x7fb\n" });
    expect(result.stdout.toString()).toContain("   a   b  \\n\r\n");
  });

  test.each([undefined, { rows: 24, cols: 80 }])(
    "can open their output by its name, whoever they are (%j)",
    async (tty) => {
      const script = "echo one > /dev/stdout; echo two > /proc/self/fd/2; id -u";
      const result = await shell(script, { user: "1234", ...(tty && { tty }) });
      expect(`${result.stdout}${result.stderr}`.replaceAll("\r", "").split("\n").sort()).toEqual([
        "",
        "1234",
        "one",
        "two",
      ]);
    },
  );

  test("read what is typed on their terminal, and its end as end of file", async () => {
    const input = "hello\n";
    const result = await shell("while read line; do echo got $line; done; echo over", {
      tty: { rows: 24, cols: 80 },
      input,
    });
    expect(result.stdout.toString()).toBe("hello\r\ngot hello\r\nover\r\n");
  });

  test("lead a session of their own with a clean slate", async () => {
    const result = await shell(
      "umask; ulimit -n; grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l; cut -d' ' -f5,6 /proc/$$/stat; echo $$",
    );
    const [mask, files, blocked, ignored, descriptors, session, pid] = result.stdout.toString().trim().split("\n");
    expect(mask).toBe("0022");
    expect(files).toBe("1024");
    expect(blocked).toMatch(/0{16}$/);
    // What make starts has the C library's own signals, 32 and 33, ignored, and no program can change that.
    const ofLibrary = 3n << 31n;
    expect(BigInt(`0x${ignored?.split("\t")[1]}`) & ~ofLibrary).toBe(0n);
    // Three of its own and the folder that ls reads.
    expect(descriptors?.trim()).toBe("4");
    expect(session).toBe(`${pid} ${pid}`);
  });

  test("are killed with their children", async () => {
    const process = await running.agent.exec({ argv: ["/bin/sh", "-c", "sleep 1000 & echo $!; wait"] });
    const [first] = (await process.stdout.take(1).toArray()) as Buffer[];
    process.kill("SIGKILL");
    expect(await process.wait()).toMatchObject({ signal: "SIGKILL" });
    await expect.poll(() => isRunning(Number(first))).toBe(false);
  });

  test("can handle the signal that they are sent", async () => {
    const process = await running.agent.exec({
      argv: ["/bin/sh", "-c", "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.01; done"],
    });
    let output = "";
    process.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await expect.poll(() => output).toContain("ready");
    process.kill("SIGINT");
    expect(await process.wait()).toMatchObject({ exitCode: 7 });
    expect(output).toContain("caught");
  });

  test("end when the caller aborts, and their wait rejects with its reason", async () => {
    const controller = new AbortController();
    const process = await running.agent.exec({ argv: ["sleep", "1000"] }, { signal: controller.signal });
    process.stdout.on("error", () => {});
    controller.abort(new Error("enough"));
    await expect(process.wait()).rejects.toThrow("enough");
    await expect.poll(() => isRunning(process.pid)).toBe(false);
  });

  test("are reported as ended though a grandchild holds their output open, which is then marked as cut", async () => {
    const result = await shell("sleep 1000 & echo $!");
    expect(result).toMatchObject({ exitCode: 0, truncated: true });
    await shell(`kill ${result.stdout}`);
  });

  test("lose none of what they wrote before they ended, however slowly it is read", async () => {
    const process = await running.agent.exec({
      argv: ["/bin/sh", "-c", "head -c 120000 /dev/zero; sleep 1000 & echo $! >&2"],
    });
    let pid = "";
    process.stderr.on("data", (chunk) => {
      pid += chunk;
    });
    // Longer than the grace period, with no credit left for half of it.
    await sleep(600);
    let total = 0;
    process.stdout.on("data", (chunk: Buffer) => {
      total += chunk.length;
    });
    expect(await process.wait()).toMatchObject({ exitCode: 0, truncated: true });
    expect(total).toBe(120_000);
    await shell(`kill ${pid}`);
  });

  test("whose output nobody reads stall neither others nor themselves for ever", async () => {
    const stalled = await running.agent.exec({ argv: ["/bin/sh", "-c", "head -c 1000000 /dev/zero; echo end"] });
    for (let i = 0; i < 5; i++) expect((await shell("echo other")).stdout.toString()).toBe("other\n");
    const chunks = (await stalled.stdout.toArray()) as Buffer[];
    expect(Buffer.concat(chunks).length).toBe(1_000_004);
    expect(await stalled.wait()).toMatchObject({ exitCode: 0 });
  });

  test("go on when their reader leaves early", async () => {
    const process = await running.agent.exec({ argv: ["/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 5"] });
    process.stdout.destroy();
    expect(await process.wait()).toMatchObject({ exitCode: 5 });
  });

  test("run by the hundred at once without mixing their output", async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        shell(`echo ${i}; head -c ${i * 1000} /dev/zero`, { link: i % 2 ? "bulk" : "control" }),
      ),
    );
    results.forEach((result, i) => {
      expect(result.exitCode).toBe(0);
      expect(result.stdout.length).toBe(`${i}\n`.length + i * 1000);
      expect(result.stdout.subarray(0, `${i}\n`.length).toString()).toBe(`${i}\n`);
    });
  }, 60_000);

  test("beyond the thousandth at a time are refused, and nothing is lost", async () => {
    const started = await Promise.all(
      Array.from({ length: 1024 }, () => running.agent.exec({ argv: ["cat"], stdin: "pipe" })),
    );
    await expect(running.agent.exec({ argv: ["true"] })).rejects.toMatchObject({ errno: "EAGAIN" });
    for (const process of started) process.stdin.end();
    const ends = await Promise.all(started.map((process) => process.wait()));
    expect(ends.every((end) => end.exitCode === 0)).toBe(true);
    expect((await shell("echo still here")).stdout.toString()).toBe("still here\n");
  }, 120_000);

  test("can have arguments of hundreds of kilobytes, in many frames", async () => {
    const argv = ["/bin/echo", ...Array.from({ length: 9_000 }, (_, i) => `argument-number-${i}-of-many`)];
    const result = await run(running.agent, argv);
    expect(result.stdout.toString()).toBe(`${argv.slice(1).join(" ")}\n`);
  });

  test("refuse a NUL in an argument, and an empty command, before anything is sent", async () => {
    await expect(run(running.agent, ["echo", "a\0b"])).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
    await expect(run(running.agent, [])).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
    await expect(run(running.agent, ["echo", "x".repeat(2_000_000)])).rejects.toMatchObject({
      code: "ERR_SUPERMACHINE_VM",
    });
  });
});
