import type { Readable, Writable } from "node:stream";
import { UsageError, VmError } from "../errors.js";
import { ChannelReadable, ChannelWritable } from "./channel.js";
import { signalName, signalNumber } from "./errno.js";
import { decodeFailure, ExecFailure, ResultKind } from "./failure.js";
import { Fields, FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream, StreamHandler } from "./stream.js";

const KIND_EXEC = 1;
const FLAG = { stdin: 1, merged: 2, tty: 4, createCwd: 8 } as const;
const CONTROL = { signal: 1, resize: 2 } as const;

/** A command for {@link Agent.exec}. */
export interface ExecRequest {
  /** The program, looked up in `env.PATH` when it has no slash, and its arguments. */
  argv: readonly string[];
  /** The whole environment; PATH and HOME get docker's defaults when they are missing. */
  env?: Readonly<Record<string, string>>;
  /** Absolute path; "/" by default. It must exist, unless `createCwd`. */
  cwd?: string;
  /** Make a missing `cwd`, as docker does for an image's WORKDIR. */
  createCwd?: boolean;
  /** `name`, `uid`, `name:group` or `uid:gid` out of the image's own files; root by default. */
  user?: string;
  /** "ignore" (the default) is /dev/null. */
  stdin?: "pipe" | "ignore";
  /** Send standard error on the same channel as standard output. */
  mergeStderr?: boolean;
  /** Run on a terminal of this size; standard error is then part of standard output. */
  tty?: { rows: number; cols: number };
  /** The port that carries its bytes; "control" by default. */
  link?: "control" | "bulk";
}

/** How a process ended: `exitCode`, or the `signal` that killed it. */
export interface ExitStatus {
  exitCode: number | null;
  signal: string | null;
  /** Output was cut because another process kept it open after this one had ended. */
  truncated: boolean;
}

/** A process in the guest. */
export interface GuestProcess {
  /** As the workload sees it. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Resolves when the process has ended and its output has all arrived, and been read where somebody reads it. Output of more
   * than the link's credit (64 KiB, or 1 MiB on "bulk") must be read for that. Rejects with VmError.
   */
  wait(): Promise<ExitStatus>;
  /** Sends a signal, SIGTERM by default, to the process and its group. */
  kill(signal?: NodeJS.Signals | number): void;
  resize(size: { rows: number; cols: number }): void;
}

/** Starts a command; resolves once it runs. */
export function startProcess(link: Link, request: ExecRequest, signal?: AbortSignal): Promise<GuestProcess> {
  const payload = encodeRequest(request);
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const process = new RunningProcess(request, resolve, reject);
    process.attach(link.open(payload, process.outputs, process), signal);
  });
}

function encodeRequest(request: ExecRequest): Buffer {
  const fields = new FieldWriter().kind(KIND_EXEC);
  if (request.argv.length === 0 || !request.argv[0]) throw new UsageError("argv is empty: there is no command to run");
  for (const argument of request.argv) fields.string(1, checked(argument, "argv"));
  for (const [name, value] of Object.entries(request.env ?? {})) fields.string(2, checked(`${name}=${value}`, "env"));
  if (request.cwd !== undefined) fields.string(3, checked(request.cwd, "cwd"));
  if (request.user !== undefined) fields.string(4, checked(request.user, "user"));
  const flags =
    (request.stdin === "pipe" ? FLAG.stdin : 0) |
    (request.mergeStderr ? FLAG.merged : 0) |
    (request.tty ? FLAG.tty : 0) |
    (request.createCwd ? FLAG.createCwd : 0);
  fields.u32(5, flags);
  if (request.tty) fields.u16(6, request.tty.rows).u16(7, request.tty.cols);
  return fields.toBuffer();
}

function checked(value: string, option: string): string {
  if (value.includes("\0"))
    throw new UsageError(`${option} holds a NUL character: ${JSON.stringify(value.slice(0, 100))}`);
  return value;
}

/** Resolves when whoever reads the stream has had all of it; at once when nobody does. */
function readToEnd(output: Readable): Promise<void> {
  if (output.readableFlowing === null || output.readableEnded || output.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    output.once("end", resolve);
    output.once("close", resolve);
  });
}

class RunningProcess implements GuestProcess, StreamHandler {
  pid = 0;
  readonly stdin: ChannelWritable;
  readonly stdout: ChannelReadable;
  readonly stderr: ChannelReadable;
  readonly #argv: readonly string[];
  readonly #started: (process: GuestProcess) => void;
  readonly #notStarted: (error: unknown) => void;
  readonly #exit: Promise<ExitStatus>;
  #exited: (status: ExitStatus) => void = () => {};
  #broken: (error: unknown) => void = () => {};
  #stream: GuestStream | undefined;
  #status: { exitCode: number | null; signal: string | null } | undefined;
  readonly outputs: number;
  #openOutputs: number;
  #truncated = false;
  #release = (): void => {};

  constructor(request: ExecRequest, started: (process: GuestProcess) => void, notStarted: (error: unknown) => void) {
    this.#argv = request.argv;
    this.#started = started;
    this.#notStarted = notStarted;
    this.stdin = new ChannelWritable(() => (request.stdin === "pipe" || request.tty ? this.#stream : undefined));
    this.stdout = new ChannelReadable((bytes) => this.#stream?.consumed(0, bytes));
    this.stderr = new ChannelReadable((bytes) => this.#stream?.consumed(1, bytes));
    this.outputs = request.tty || request.mergeStderr ? 1 : 2;
    this.#openOutputs = this.outputs;
    if (this.outputs === 1) this.stderr.finish();
    this.#exit = new Promise((resolve, reject) => {
      this.#exited = resolve;
      this.#broken = reject;
    });
    // Whoever waits gets the rejection; that nobody waits is no unhandled one.
    this.#exit.catch(() => {});
  }

  /** `signal` kills the process whenever it aborts. */
  attach(stream: GuestStream, signal?: AbortSignal): void {
    this.#stream = stream;
    if (!signal) return;
    const abort = (): void => {
      stream.close();
      this.#end(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#release = () => signal.removeEventListener("abort", abort);
  }

  async wait(): Promise<ExitStatus> {
    const status = await this.#exit;
    await Promise.all([readToEnd(this.stdout), readToEnd(this.stderr)]);
    return status;
  }

  kill(signal: NodeJS.Signals | number = "SIGTERM"): void {
    const number = signalNumber(signal);
    if (number === undefined) throw new UsageError(`There is no signal ${signal}`);
    this.#stream?.control(new FieldWriter().kind(CONTROL.signal).u32(1, number).u8(2, 1).toBuffer());
  }

  resize(size: { rows: number; cols: number }): void {
    this.#stream?.control(new FieldWriter().kind(CONTROL.resize).u16(1, size.rows).u16(2, size.cols).toBuffer());
  }

  data(channel: number, bytes: Buffer): void {
    (channel === 0 ? this.stdout : this.stderr).deliver(bytes);
  }

  end(channel: number, truncated: boolean): void {
    this.#truncated ||= truncated;
    this.#openOutputs--;
    (channel === 0 ? this.stdout : this.stderr).finish();
    this.#settle();
  }

  result(kind: number, payload: Buffer): boolean {
    if (kind === ResultKind.failed) {
      this.#end(new ExecFailure(decodeFailure(payload), this.#argv));
      return true;
    }
    if (kind === ResultKind.started && this.pid === 0) {
      this.pid = new Fields(payload, [1]).u32(1);
      this.#started(this);
      return false;
    }
    if (kind !== ResultKind.exited || this.#status) throw new Error(`an unexpected RESULT ${kind} for a command`);
    const fields = new Fields(payload, [1, 2]);
    this.#status = fields.has(2)
      ? { exitCode: null, signal: signalName(fields.u32(2)) }
      : { exitCode: fields.u32(1) & 0xff, signal: null };
    // Nobody is there to read what is written now.
    this.stdin.destroy();
    this.#settle();
    return false;
  }

  failed(error: Error): void {
    this.#end(error instanceof VmError ? error : new VmError("The process was lost", { cause: error }));
  }

  #settle(): void {
    if (!this.#status || this.#openOutputs > 0) return;
    this.#release();
    this.#exited({ ...this.#status, truncated: this.#truncated });
    this.#stream?.complete();
  }

  #end(error: unknown): void {
    this.#release();
    this.#notStarted(error);
    this.#broken(error);
    const cause = error instanceof Error ? error : new Error(String(error));
    this.stdin.destroy();
    for (const output of [this.stdout, this.stderr]) {
      // Without a listener an error event would end the host's process; the reader still sees that it was cut short.
      output.on("error", () => {});
      output.destroy(cause);
    }
  }
}
