import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { beforeEach, describe, expect, test } from "vitest";
import { ExecTimeoutError, UsageError, VmError } from "../../src/errors.js";
import { ExecFailure, type ExecRequest, type ExitStatus, type GuestProcess } from "../../src/guest/index.js";
import type { Machine } from "../../src/machine/index.js";
import { Vm } from "../../src/vm/index.js";

/** How the guest's process behaves. */
interface Script {
  stdout?: string;
  stderr?: string;
  status?: Partial<ExitStatus>;
  failure?: Error;
  /** Ends only when it is aborted. */
  hangs?: boolean;
}

let requests: ExecRequest[];
let inputs: Promise<string>[];
let files: unknown[][];
beforeEach(() => {
  [requests, inputs, files] = [[], [], []];
});

const config = {
  entrypoint: ["app"],
  cmd: ["serve"],
  env: { PATH: "/bin", A: "image" },
  workdir: "/srv/app",
  user: "www",
};

function vmThat(script: Script): Vm {
  const agent = {
    exec: async (request: ExecRequest, { signal }: { signal?: AbortSignal }) => {
      requests.push(request);
      if (script.failure) throw script.failure;
      return processOf(script, signal);
    },
    files: {
      read: async (path: string) => Buffer.from(`content of ${path}`),
      write: async (...args: unknown[]) => void files.push(args),
    },
    network: { open: () => undefined },
    closed: new Promise(() => undefined),
  };
  const template = { hardware: { accelerator: "tcg" } };
  const unused = () => Promise.reject(new Error("unused"));
  const origin = { config, hostname: "app", egress: { policy: "none" as const }, snapshot: unused, fork: unused };
  return new Vm({ agent, template, pid: 77 } as unknown as Machine, origin);
}

function processOf(script: Script, signal: AbortSignal | undefined): GuestProcess {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  inputs.push(text(stdin));
  stdout.write(script.stdout ?? "");
  stderr.write(script.stderr ?? "");
  const status = { exitCode: 0, signal: null, truncated: false, step: 0, ...script.status };
  const wait = async () => {
    if (script.hangs) await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    await Promise.all([stdout, stderr].map((each) => new Promise((resolve) => each.on("end", resolve).end())));
    return status;
  };
  const none = () => undefined;
  return { pid: 5, stdin, stdout, stderr, wait, kill: none, resize: none, detach: none, lostBytes: 0 };
}

describe("a command that is run", () => {
  test("gives its output and how it ended", async () => {
    const result = await vmThat({ stdout: "out", stderr: "err", status: { exitCode: 3 } }).run(["false"]);
    expect(result).toMatchObject({ stdout: "out", stderr: "err", exitCode: 3, signal: null, truncated: false });
    expect(result.durationMs).toBeGreaterThanOrEqual(0);
  });

  test("gives 128 and the signal's number when a signal killed it", async () => {
    const killed = vmThat({ status: { exitCode: null, signal: "SIGTERM" } });
    expect(await killed.run(["sleep"])).toMatchObject({ exitCode: 143, signal: "SIGTERM" });
    const realTime = vmThat({ status: { exitCode: null, signal: "SIG40" } });
    expect(await realTime.run(["sleep"])).toMatchObject({ exitCode: 168, signal: "SIG40" });
  });

  test.each([
    ["ENOENT", "command", 127],
    ["ENOTDIR", "command", 127],
    ["EACCES", "command", 126],
    ["ENOENT", "cwd", 126],
    ["ENOENT", "user", 126],
  ] as const)("that cannot be started because of %s at its %s gives %s", async (errno, stage, exitCode) => {
    const failure = new ExecFailure({ errno, stage, step: 0, text: "the reason" }, ["app"]);
    const result = await vmThat({ failure }).run(["app"]);
    expect(result).toMatchObject({ exitCode, signal: null, stdout: "", truncated: false });
    expect(result.stderr).toBe('Could not run "app" in the guest: the reason\n');
    await expect(vmThat({ failure }).exec(["app"])).rejects.toBe(failure);
  });

  test("is marked when its output was cut, by the limit or by the guest", async () => {
    const long = { stdout: "x".repeat(100) };
    expect(await vmThat(long).run(["yes"], { maxOutputBytes: 10 })).toMatchObject({
      stdout: "xxxxxxxxxx",
      truncated: true,
    });
    expect(await vmThat(long).run(["yes"], { maxOutputBytes: 100 })).toMatchObject({ truncated: false });
    expect(await vmThat({ stderr: "xx" }).run(["yes"], { maxOutputBytes: 1 })).toMatchObject({ truncated: true });
    expect(await vmThat({ status: { truncated: true } }).run(["yes"])).toMatchObject({ truncated: true });
  });

  test("that takes too long is an error with the output so far", async () => {
    const error = await vmThat({ hangs: true, stdout: "half" })
      .run(["sleep", "9"], { timeoutMs: 30 })
      .catch((e) => e);
    expect(error).toBeInstanceOf(ExecTimeoutError);
    expect(error).toMatchObject({ message: "sleep ran longer than 30 ms and was killed", stdout: "half", stderr: "" });
  });

  test("that is aborted rejects with the reason", async () => {
    const controller = new AbortController();
    const running = vmThat({ hangs: true }).run(["sleep"], { signal: controller.signal, timeoutMs: 60_000 });
    setTimeout(() => controller.abort(new Error("enough")), 10);
    await expect(running).rejects.toThrow("enough");
  });

  test("in a VM that is gone rejects with that", async () => {
    await expect(vmThat({ failure: new VmError("gone") }).run(["true"])).rejects.toThrow("gone");
    await expect(vmThat({ status: { exitCode: null } }).run(["true"])).rejects.toThrow(VmError);
  });

  test("reads the input that it is given, and nothing otherwise", async () => {
    await vmThat({}).run(["cat"], { input: "hello" });
    expect(requests[0]).toMatchObject({ stdin: "pipe", link: "control" });
    expect(await inputs[0]).toBe("hello");
    await vmThat({}).run(["cat"]);
    expect(requests[1]?.stdin).toBe("ignore");
    await vmThat({}).run(["cat"], { input: "" });
    expect(requests[2]?.stdin).toBe("pipe");
    expect(await inputs[2]).toBe("");
  });

  test("reads much input from where files come", async () => {
    await vmThat({}).run(["cat"], { input: Buffer.alloc(65_537) });
    expect(requests[0]).toMatchObject({ stdin: "pipe", link: "bulk" });
  });
});

describe("the surroundings of a command", () => {
  test("are the image's", async () => {
    await vmThat({}).exec(["ls"]);
    expect(requests[0]).toEqual({
      argv: ["ls"],
      env: { PATH: "/bin", A: "image" },
      cwd: "/srv/app",
      createCwd: true,
      user: "www",
      stdin: "ignore",
      link: "control",
    });
  });

  test("are the caller's where given: variables are added, a relative folder starts at the image's", async () => {
    await vmThat({}).exec(["ls"], { env: { A: "own", B: "2" }, cwd: "../x", user: "", stdin: "pipe" });
    expect(requests[0]).toMatchObject({
      env: { PATH: "/bin", A: "own", B: "2" },
      cwd: "/srv/x",
      createCwd: false,
      user: "",
      stdin: "pipe",
    });
    await vmThat({}).exec(["ls"], { cwd: "/tmp" });
    expect(requests[1]?.cwd).toBe("/tmp");
  });

  test("an empty command is refused before anything is started", async () => {
    await expect(vmThat({}).exec([])).rejects.toThrow(UsageError);
    await expect(vmThat({}).run([])).rejects.toThrow(UsageError);
    expect(requests).toEqual([]);
  });
});

test("the image's own command is started with docker's rules", async () => {
  await vmThat({}).start();
  await vmThat({}).start({ cmd: ["check"] });
  await vmThat({}).start({ entrypoint: ["sh"] });
  expect(requests.map(({ argv }) => argv)).toEqual([["app", "serve"], ["app", "check"], ["sh"]]);
});

describe("files", () => {
  test("are found from the image's working directory", async () => {
    const vm = vmThat({});
    expect(await vm.readFile("a/../b", "utf8")).toBe("content of /srv/app/b");
    expect(await vm.readFile("/etc/hosts", { encoding: "utf8" })).toBe("content of /etc/hosts");
    expect(await vm.readFile("/../../x")).toEqual(Buffer.from("content of /x"));
    await vm.writeFile("c", "data", { mode: 0o600 });
    expect(files).toEqual([["/srv/app/c", "data", { mode: 0o600 }]]);
  });

  test.each(["", "a\0b"])("cannot be named %j", async (path) => {
    await expect(vmThat({}).readFile(path)).rejects.toThrow(UsageError);
    await expect(vmThat({}).writeFile(path, "x")).rejects.toThrow(UsageError);
    expect(files).toEqual([]);
  });
});

test("a VM tells its process and how it is separated", () => {
  expect(vmThat({})).toMatchObject({ pid: 77, isolation: "emulated (tcg)" });
});

describe("a VM of a pool", () => {
  const config = { entrypoint: [], cmd: [], env: {}, workdir: "/", user: "" };
  const template = { hardware: { accelerator: "tcg" } };

  function pooled() {
    const calls: string[] = [];
    const network = { open: () => undefined, close: () => void calls.push("close network") };
    const agent = { network, closed: new Promise(() => undefined) };
    const machine = { template, agent, pid: 77, stop: async () => void calls.push("stop") } as unknown as Machine;
    const origin = { config, hostname: "host", egress: { policy: "none" } } as unknown as ConstructorParameters<
      typeof Vm
    >[1];
    return {
      calls,
      vm: new Vm(machine, origin, {}, { workload: undefined, giveBack: () => void calls.push("give back") }),
      plain: new Vm(machine, origin),
    };
  }

  test("goes back there once, by release or by the end of its scope, and cannot be used then", async () => {
    const { calls, vm } = pooled();
    {
      await using scoped = vm;
      await scoped.release();
    }
    await vm.stop();
    expect(calls).toEqual(["close network", "give back"]);
    expect(vm.pid).toBe(77);
    for (const use of [
      vm.run(["true"]),
      vm.exec(["true"]),
      vm.readFile("/x"),
      vm.snapshot("/y"),
      vm.fork(),
      vm.pause(),
    ]) {
      await expect(use).rejects.toThrow(/was given back to its pool/);
    }
  });

  test("is ended by stop, and given back afterwards all the same", async () => {
    const { calls, vm } = pooled();
    await vm.stop();
    await vm.release();
    expect(calls).toEqual(["stop", "close network", "give back"]);
  });

  test("is not what others are: they are ended by their release", async () => {
    const { calls, plain } = pooled();
    await plain.release();
    expect(calls).toEqual(["stop"]);
  });
});
