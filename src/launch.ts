import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { forkEarlySupervisor } from "./daemon/fork-supervisor.js";
import type { SupervisorTask } from "./daemon/supervisor-spec.js";
import { supervisorTask } from "./daemon/supervisor-task.js";
import { launchEarly } from "./engine/qemu/launch.js";
import { CAPTURE_FILES } from "./machine/capture-files.js";
import { readDeltaEarly } from "./memory/early-delta.js";
import { home } from "./store/home.js";

// Starts one of the programs of this package with what V8 made of it the last time: compiling it takes longer than most commands do.
// See docs/start-up.md. `npm run build` makes a copy for each program and says there which one it starts.
declare const PROGRAM: { name: string; path: string; digest: string };

const DIGEST_BYTES = 32;
/** What was made of versions that are not in use any more goes after so long, and the rest is made again. */
const KEPT_MS = 30 * 24 * 3_600_000;
/** A program that runs for longer than this has everything compiled that it needs to start. */
const STARTED_MS = 2_000;

if (PROGRAM.name === "cli" && maybeInBackground(process.argv.slice(2)))
  forkEarlySupervisor(join(__dirname, "../daemon/supervisor-main.js"));
if (PROGRAM.name === "supervisor") startAhead();
else launch(join(__dirname, PROGRAM.path));

/**
 * A supervisor's worker takes longer to start than its program to load, and what goes into the worker's RAM is read meanwhile. What it was
 * told is read before the program.
 */
function startAhead(): void {
  void supervisorTask().then((task) => {
    const { worker, spec } = task as SupervisorTask;
    if (worker) launchEarly(worker);
    if (!spec.ownSnapshot) readDeltaEarly(join(spec.snapshotPath, CAPTURE_FILES.delta));
  });
  setImmediate(launch, join(__dirname, PROGRAM.path));
}

/** Whether this is `run -d`, whose supervisor takes longer to start than anything else. A wrong guess costs a process that is ended. */
function maybeInBackground([command, ...args]: string[]): boolean {
  const end = args.indexOf("--");
  const options = end < 0 ? args : args.slice(0, end);
  return command === "run" && options.some((each) => each === "--detach" || /^-[itq]*d[itq]*$/.test(each));
}

function launch(path: string): void {
  // Source maps are for what Node loads itself.
  if (process.sourceMapsEnabled) {
    require(path);
    return;
  }
  const source = readFileSync(path, "latin1");
  const cachePath = codeCachePath();
  const cachedData = readCodeCache(cachePath);
  const script = new Script(`(function (exports, require, module, __filename) {${source}\n})`, {
    filename: path,
    ...(cachedData && { cachedData }),
  });
  if (!cachedData || script.cachedDataRejected) keepCodeOf(script, cachePath);
  script.runInThisContext()(exports, require, module, path);
}

/** V8 compiles what is called, so each command has a cache of its own. V8 itself would take the code of another text of the same length. */
function codeCachePath(): string {
  const [, , first = ""] = process.argv;
  const command = /^[a-z]+(-[a-z]+)*$/.test(first) ? first : "other";
  return join(home().code, [PROGRAM.name, command, PROGRAM.digest, process.version, process.arch].join("-"));
}

/** V8 would run what is damaged, and this process whatever somebody else put there: neither is taken. */
function readCodeCache(path: string): Buffer | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { uid, mode } = fstatSync(file);
    if (process.getuid && (uid !== process.getuid() || (mode & 0o022) !== 0)) return undefined;
    const bytes = readFileSync(file);
    const code = bytes.subarray(DIGEST_BYTES);
    return digestOf(code).equals(bytes.subarray(0, DIGEST_BYTES)) ? code : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Keeps what is compiled by then, once: soon, or when the command has ended well. */
function keepCodeOf(script: Script, path: string): void {
  const timer = setTimeout(keep, STARTED_MS).unref();
  const atExit = (code: number) => code === 0 && keep();
  process.once("exit", atExit);

  function keep(): void {
    clearTimeout(timer);
    process.off("exit", atExit);
    writeCodeCache(path, script.createCachedData());
  }
}

/** Wherever it cannot be written the next start is as slow as this one, and nothing worse. A home is not made for it. */
function writeCodeCache(path: string, code: Buffer): void {
  const folder = dirname(path);
  try {
    if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
    sweep(folder);
    replace(path, Buffer.concat([digestOf(code), code]));
  } catch {
    return;
  }
}

function replace(path: string, bytes: Buffer): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(partial, bytes, { mode: 0o600, flag: "wx" });
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

function sweep(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path, { force: true });
  }
}

function digestOf(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
