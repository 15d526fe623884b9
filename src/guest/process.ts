import type { Readable, Writable } from "node:stream";
import { UsageError, VmError } from "../errors.js";
import { ChannelReadable, ChannelWritable } from "./channel.js";
import { signalName, signalNumber } from "./errno.js";
import { type ExecRequest, encodeExec } from "./exec-request.js";
import { decodeFailure, ExecFailure, type Failure, ResultKind } from "./failure.js";
import { Fields, FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream, StreamHandler, WindowGrowth } from "./stream.js";

const CONTROL = { signal: 1, resize: 2, detach: 3 } as const;

const KIND_ATTACH = 33;

/** How a process ended: `exitCode`, or the `signal` that killed it. */
export interface ExitStatus {
  exitCode: number | null;
  signal: string | null;
  /** Output was cut because another process kept it open after this one had ended. */
  truncated: boolean;
  /** Of a chain: which command ended it, 0 being the first. */
  step: number;
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
  /** Lets go of it: its streams end, and it runs on. Only one with `keepOutputBytes` can be attached to again. */
  detach(): void;
  /** Bytes of its output that are lost to one who attached: there was no room to keep them. */
  readonly lostBytes: number;
}

/** Starts a command; resolves once it runs. */
export function startProcess(link: Link, request: ExecRequest, signal?: AbortSignal): Promise<GuestProcess> {
  const payload = encodeExec(request);
  const outputs = request.tty || request.mergeStderr ? 1 : 2;
  const takesInput = request.stdin === "pipe" || request.tty !== undefined;
  const growth = request.outputWindow === undefined ? undefined : ownGrowth(request.outputWindow);
  const notStarted = (failure: Failure) =>
    new ExecFailure(failure, [request.argv, ...(request.chain ?? [])][failure.step] ?? request.argv);
  return open(link, payload, { outputs, takesInput, growth, failure: notStarted }, signal);
}

/**
 * Connects to a command that was started with `keepOutputBytes` and that nobody is connected to: what was kept of its output comes
 * first. Rejects with VmError when there is none.
 */
export function attachProcess(link: Link, pid: number, signal?: AbortSignal): Promise<GuestProcess> {
  const payload = new FieldWriter().kind(KIND_ATTACH).u32(1, pid).toBuffer();
  const failure = ({ text }: Failure) => new VmError(`Could not attach to process ${pid} in the guest: ${text}`);
  return open(link, payload, { outputs: 2, takesInput: true, failure }, signal);
}

function open(link: Link, payload: Buffer, shape: Shape, signal: AbortSignal | undefined): Promise<GuestProcess> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const process = new RunningProcess(shape, resolve, reject);
    process.attach(link.open(payload, shape.outputs, process, shape.growth && { growth: shape.growth }), signal);
  });
}

interface Shape {
  /** How many channels it writes to. */
  outputs: number;
  takesInput: boolean;
  growth?: WindowGrowth | undefined;
  failure: (failure: Failure) => Error;
}

/** Of a stream that shares with no other one. */
function ownGrowth(most: number): WindowGrowth {
  return { most, take: () => true, giveBack: () => {} };
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
  readonly #failure: Shape["failure"];
  readonly #started: (process: GuestProcess) => void;
  readonly #notStarted: (error: unknown) => void;
  readonly #exit: Promise<ExitStatus>;
  #exited: (status: ExitStatus) => void = () => {};
  #broken: (error: unknown) => void = () => {};
  #stream: GuestStream | undefined;
  #status: { exitCode: number | null; signal: string | null; step: number } | undefined;
  lostBytes = 0;
  #openOutputs: number;
  #truncated = false;
  #release = (): void => {};

  constructor(shape: Shape, started: (process: GuestProcess) => void, notStarted: (error: unknown) => void) {
    this.#failure = shape.failure;
    this.#started = started;
    this.#notStarted = notStarted;
    this.stdin = new ChannelWritable(() => (shape.takesInput ? this.#stream : undefined));
    this.stdout = new ChannelReadable((bytes) => this.#stream?.consumed(0, bytes));
    this.stderr = new ChannelReadable((bytes) => this.#stream?.consumed(1, bytes));
    this.#openOutputs = shape.outputs;
    if (shape.outputs === 1) this.stderr.finish();
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
    try {
      return await this.#exit;
    } finally {
      await Promise.all([readToEnd(this.stdout), readToEnd(this.stderr)]);
    }
  }

  kill(signal: NodeJS.Signals | number = "SIGTERM"): void {
    const number = signalNumber(signal);
    if (number === undefined) throw new UsageError(`There is no signal ${signal}`);
    this.#stream?.control(new FieldWriter().kind(CONTROL.signal).u32(1, number).u8(2, 1).toBuffer());
  }

  resize(size: { rows: number; cols: number }): void {
    this.#stream?.control(new FieldWriter().kind(CONTROL.resize).u16(1, size.rows).u16(2, size.cols).toBuffer());
  }

  detach(): void {
    if (!this.#stream || this.#stream.over) return;
    this.#stream.control(new FieldWriter().kind(CONTROL.detach).toBuffer());
    this.#stream.close();
    this.#release();
    this.#broken(new VmError("The process was detached from: how it ends is told to who attaches to it"));
    this.stdin.destroy();
    for (const output of [this.stdout, this.stderr]) output.finish();
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
      this.#end(this.#failure(decodeFailure(payload)));
      return true;
    }
    if (kind === ResultKind.started && this.pid === 0) {
      const fields = new Fields(payload, [1, 2, 3]);
      this.pid = fields.u32(1);
      this.lostBytes = fields.has(2) ? Number(fields.u64(2)) : 0;
      this.#started(this);
      return false;
    }
    // Who waits for the start of one that has ended would wait for ever.
    const isRunning = this.pid > 0 && !this.#status;
    if (kind !== ResultKind.exited || !isRunning) throw new Error(`an unexpected RESULT ${kind} for a command`);
    const fields = new Fields(payload, [1, 2, 3]);
    const step = fields.has(3) ? fields.u32(3) : 0;
    this.#status = fields.has(2)
      ? { exitCode: null, signal: signalName(fields.u32(2)), step }
      : { exitCode: fields.u32(1) & 0xff, signal: null, step };
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
      // What a chain has written before one of its commands could not be started is whole.
      if (output.finished) continue;
      // Without a listener an error event would end the host's process; the reader still sees that it was cut short.
      output.on("error", () => {});
      output.destroy(cause);
    }
  }
}
