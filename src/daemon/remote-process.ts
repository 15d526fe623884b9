import { once } from "node:events";
import type { Duplex } from "node:stream";
import { PassThrough, Writable } from "node:stream";
import * as v from "valibot";
import { SupermachineError, VmError } from "../errors.js";
import type { ExitStatus } from "../vm/index.js";
import { type ExecControl, ExecEvent, type ExecRequest } from "./exec-request.js";
import { type Frame, FrameType, readFrames, writeFrame } from "./frames.js";

/** A command that could not be started in a VM of another process. */
export class RemoteExecFailure extends SupermachineError {
  /** As shells report it: 127 for a command that is not there, else 126. */
  readonly exitCode: number;

  constructor(message: string, code: string, exitCode: number) {
    super(code, message);
    this.exitCode = exitCode;
  }
}

/** A process in a VM that another process, its supervisor, holds. */
export class RemoteProcess {
  /** Process id in the guest. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly #socket: Duplex;
  readonly #ended: Promise<ExitStatus & { truncated: boolean }>;

  private constructor(socket: Duplex, pid: number, events: AsyncGenerator<Frame>) {
    this.#socket = socket;
    this.pid = pid;
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (writeFrame(socket, FrameType.stdin, chunk)) done();
        else socket.once("drain", done);
      },
      final: (done) => {
        this.#say({ do: "endInput" });
        done();
      },
    });
    this.#ended = this.#follow(events);
    this.#ended.catch(() => undefined);
  }

  /** Starts a command on a fresh connection to the supervisor. @throws RemoteExecFailure, VmError */
  static async start(socket: Duplex, request: ExecRequest, signal?: AbortSignal): Promise<RemoteProcess> {
    const abort = () => socket.destroy();
    signal?.addEventListener("abort", abort, { once: true });
    socket.once("close", () => signal?.removeEventListener("abort", abort));
    const frames = readFrames(socket);
    writeFrame(socket, FrameType.control, Buffer.from(JSON.stringify(request)));
    try {
      const { value: first } = await frames.next();
      const event = first && parse(first.payload);
      if (event?.event === "started") return new RemoteProcess(socket, event.pid, frames);
      if (event?.event === "failed") throw failure(event.failure);
      throw new VmError("the VM's supervisor ended the connection");
    } catch (error) {
      socket.destroy();
      signal?.throwIfAborted();
      throw error;
    }
  }

  /** How the process ended, once its output has been read to its end. Rejects with VmError when its VM is gone. */
  wait(): Promise<ExitStatus & { truncated: boolean }> {
    return this.#ended;
  }

  /** Sends a signal to the process and those of its process group. SIGTERM by default. */
  kill(signal: NodeJS.Signals | number = "SIGTERM"): void {
    this.#say({ do: "kill", signal });
  }

  /** Tells a process with a terminal the terminal's new size. */
  resize(size: { rows: number; cols: number }): void {
    this.#say({ do: "resize", ...size });
  }

  #say(control: ExecControl): void {
    if (this.#socket.writable) writeFrame(this.#socket, FrameType.control, Buffer.from(JSON.stringify(control)));
  }

  async #follow(frames: AsyncGenerator<Frame>): Promise<ExitStatus & { truncated: boolean }> {
    try {
      for await (const { type, payload } of frames) {
        const output = type === FrameType.stdout ? this.stdout : this.stderr;
        if (type !== FrameType.control) {
          if (!output.write(payload)) await once(output, "drain");
          continue;
        }
        const event = parse(payload);
        if (event.event === "failed") throw failure(event.failure);
        if (event.event !== "exited") continue;
        return { exitCode: event.exitCode, signal: event.signal as NodeJS.Signals | null, truncated: event.truncated };
      }
      throw new VmError("the VM ended while the command ran");
    } catch (cause) {
      if (SupermachineError.is(cause)) throw cause;
      throw new VmError("the connection to the VM broke", { cause });
    } finally {
      this.stdout.end();
      this.stderr.end();
      this.stdin.destroy();
      this.#socket.destroy();
    }
  }
}

function parse(payload: Buffer): ExecEvent {
  return v.parse(ExecEvent, JSON.parse(payload.toString()));
}

function failure({ message, code, exitCode }: { message: string; code: string; exitCode?: number | undefined }) {
  return exitCode === undefined ? new VmError(message) : new RemoteExecFailure(message, code, exitCode);
}
