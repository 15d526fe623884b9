import { pipeline } from "node:stream/promises";
import type { AttachableProcess } from "../index.js";
import { DetachKeys } from "./terminal/detach-keys.js";
import { rawMode } from "./terminal/raw-mode.js";
import { ScreenModes } from "./terminal/screen-modes.js";

const FALLBACK_SIZE = { rows: 24, cols: 80 };

/** How a process is connected to our own streams. */
export interface Attachment {
  /** Whether it reads what we read. */
  interactive: boolean;
  /** Whether it runs on a terminal. */
  tty: boolean;
  /** What is typed to leave it, on a terminal; nothing for no such keys. */
  detachKeys: Buffer;
}

/** The size of our terminal, for a process that gets one. */
export function terminalSize(): { rows: number; cols: number } {
  const output = [process.stdout, process.stderr].find(({ isTTY }) => isTTY);
  return output?.rows && output.columns ? { rows: output.rows, cols: output.columns } : FALLBACK_SIZE;
}

/** Connects a process to our own streams until it has ended, and gives its exit code; or "detached". */
export function attach(child: AttachableProcess, attachment: Attachment): Promise<number | "detached"> {
  return attachment.tty ? attachTerminal(child, attachment) : attachPipes(child, attachment);
}

async function attachPipes(child: AttachableProcess, { interactive }: Attachment): Promise<number> {
  // The command may end without having read everything.
  const input = interactive ? pipeline(process.stdin, child.stdin).catch(() => undefined) : undefined;
  const outputs = [
    pipeline(child.stdout, process.stdout, { end: false }),
    pipeline(child.stderr, process.stderr, { end: false }),
  ].map((output) =>
    output.catch((error: NodeJS.ErrnoException) => {
      // Our reader went away, as in `| head`: the command has nobody to write for. Of anything else wait() knows more.
      if (error.code === "EPIPE") child.kill("SIGPIPE");
    }),
  );
  const { exitCode } = await child.wait();
  await Promise.all(outputs);
  process.stdin.destroy();
  await input;
  return exitCode;
}

async function attachTerminal(
  child: AttachableProcess,
  { interactive, detachKeys }: Attachment,
): Promise<number | "detached"> {
  const screen = new ScreenModes();
  const { promise: detached, resolve: detach } = withResolvers<"detached">();
  try {
    using _raw = interactive ? rawMode() : undefined;
    using _screen = restoreScreen(screen);
    using _size = followSize(child);
    if (interactive) connectKeys(child, new DetachKeys(detachKeys, () => detach("detached")));
    const output = pipeline(child.stdout, screen, process.stdout, { end: false }).catch(() => {
      // The terminal is gone: that is what SIGHUP means.
      child.kill("SIGHUP");
    });
    const ended = child.wait().then(async ({ exitCode }) => {
      await output;
      return exitCode;
    });
    return await Promise.race([ended, detached]);
  } finally {
    // Only now: the terminal of a stream that is gone cannot be put back.
    process.stdin.destroy();
  }
}

/** Not a pipeline: that would destroy our input as soon as the process has ended, and its terminal could not be put back. */
function connectKeys(child: AttachableProcess, keys: DetachKeys): void {
  for (const stream of [process.stdin, keys, child.stdin]) stream.on("error", () => undefined);
  process.stdin.pipe(keys).pipe(child.stdin);
}

/** Also when this process ends from somewhere else. */
function restoreScreen(screen: ScreenModes): Disposable {
  const restore = (): void => {
    if (screen.undo !== "") process.stdout.write(screen.undo);
  };
  process.on("exit", restore);
  return {
    [Symbol.dispose]() {
      process.off("exit", restore);
      restore();
    },
  };
}

function followSize(child: AttachableProcess): Disposable {
  const resize = (): void => child.resize(terminalSize());
  process.stdout.on("resize", resize);
  // It may have changed since the process was started.
  resize();
  return {
    [Symbol.dispose]() {
      process.stdout.off("resize", resize);
    },
  };
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
