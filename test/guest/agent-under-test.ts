import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join, resolve } from "node:path";
import { Duplex } from "node:stream";
import { Agent, type ConnectOptions, type ExecRequest } from "../../src/guest/index.js";

const GUEST = resolve("guest");
const FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"];
const SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

export type Build = "plain" | "sanitized";

/** Compiles sources of guest/ once for each state they are in. */
export function compile(name: string, sources: string[], flags: string[]): string {
  const inputs = [...sources, ...sourcesOf("src").filter((path) => path.endsWith(".h"))];
  const hash = createHash("sha256").update(flags.join());
  for (const path of inputs) hash.update(readFileSync(path));
  const folder = resolve(".tmp", "guest-tests");
  const program = join(folder, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const partial = `${program}.${process.pid}`;
  execFileSync("cc", [...FLAGS, ...flags, `-I${join(GUEST, "src")}`, "-o", partial, ...sources], { stdio: "pipe" });
  renameSync(partial, program);
  return program;
}

export function sourcesOf(folder: string): string[] {
  return readdirSync(join(GUEST, folder)).map((name) => join(GUEST, folder, name));
}

function program(build: Build): string {
  if (process.env.SUPERMACHINE_TEST_AGENT) return resolve(process.env.SUPERMACHINE_TEST_AGENT);
  const sources = sourcesOf("src").filter((path) => path.endsWith(".c"));
  return build === "plain"
    ? compile("agent", sources, ["-Os", "-static", "-s"])
    : compile("agent-asan", sources, SANITIZE);
}

/** Puts a static helper program of guest/test/ at `path`. */
export function compileHelper(name: string, path: string): void {
  copyFileSync(compile(name, [join(GUEST, "test", `${name}.c`)], ["-D_GNU_SOURCE", "-Os", "-static", "-s"]), path);
}

/** A test in C of these sources of the agent. */
export function sanitizedTest(name: string, sources: RegExp): string {
  const tested = sourcesOf("src").filter((path) => sources.test(path));
  return compile(name, [...tested, join(GUEST, "test", `${name}.c`)], SANITIZE);
}

export interface AgentProcess extends AsyncDisposable {
  pid: number;
  links: { control: Duplex; bulk: Duplex };
  /** What it said on its console so far. */
  console: () => string;
  exited: Promise<number | null>;
}

/** Whether an agent can have a network here: that takes a network namespace of its own, and eBPF. */
export function canHaveNetwork(): boolean {
  return spawnSync("unshare", ["--net", "ip", "link", "add", "type", "veth"]).status === 0;
}

/** Runs the agent as an ordinary process whose tasks see `root`; with `network` in a network namespace of its own. */
export function startAgentProcess(build: Build, root = "/", network = false): AgentProcess {
  const argv = [program(build), "--links", "3,4", "--root", root];
  const [command = "", ...rest] = network ? ["unshare", "--net", ...argv, "--network"] : argv;
  const child = spawn(command, rest, {
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    env: { ASAN_OPTIONS: "detect_leaks=0:abort_on_error=0:exitcode=99" },
  });
  let text = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve) => child.on("exit", (code) => resolve(code)));
  const [, , , control, bulk] = child.stdio;
  return {
    pid: child.pid ?? 0,
    links: { control: control as Duplex, bulk: bulk as Duplex },
    console: () => text,
    exited,
    async [Symbol.asyncDispose]() {
      killCommands(child.pid);
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Commands outlive their agent; each leads a group of its own. */
function killCommands(agent: number | undefined): void {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!new RegExp(`^PPid:\\s+${agent}$`, "m").test(readFileSync(`/proc/${pid}/status`, "utf8"))) continue;
      process.kill(-Number(pid), "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}

export interface RunningAgent extends AsyncDisposable {
  agent: Agent;
  process: AgentProcess;
}

export async function startAgent(
  build: Build,
  options: { root?: string; connect?: ConnectOptions; network?: boolean } = {},
): Promise<RunningAgent> {
  const process = startAgentProcess(build, options.root, options.network);
  const agent = await Agent.connect(process.links, { timeoutMs: 20_000, ...options.connect });
  return {
    agent,
    process,
    async [Symbol.asyncDispose]() {
      agent.close();
      await process[Symbol.asyncDispose]();
    },
  };
}

export interface RunResult {
  exitCode: number | null;
  signal: string | null;
  truncated: boolean;
  stdout: Buffer;
  stderr: Buffer;
}

/** Runs a command to its end and collects what it wrote. */
export async function run(
  agent: Agent,
  argv: string[],
  options: Partial<ExecRequest> & { input?: string | Buffer } = {},
): Promise<RunResult> {
  const { input, ...request } = options;
  const process = await agent.exec({ argv, ...(input === undefined ? {} : { stdin: "pipe" }), ...request });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  process.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  process.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  if (input !== undefined) process.stdin.end(input);
  const status = await process.wait();
  return { ...status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
}

/** A zombie that nobody has reaped yet does not run. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** A link that can be taken away from one Agent and given to another, as a restore does. */
function lend(duplex: Duplex): { link: Duplex; takeBack: () => void } {
  const onData = (chunk: Buffer): void => {
    link.push(chunk);
  };
  const link = new Duplex({ read() {}, write: (chunk, _encoding, done) => void duplex.write(chunk, () => done()) });
  duplex.on("data", onData);
  return { link, takeBack: () => duplex.off("data", onData) };
}

/** A session that another can follow on the same agent. */
export async function session(process: AgentProcess): Promise<{ agent: Agent; abandon: () => void }> {
  const control = lend(process.links.control);
  const bulk = lend(process.links.bulk);
  const agent = await Agent.connect({ control: control.link, bulk: bulk.link }, { timeoutMs: 20_000 });
  return {
    agent,
    abandon() {
      control.takeBack();
      bulk.takeBack();
      agent.close();
    },
  };
}
