import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import { VmError } from "../../errors.js";

/** QEMU's longest answer to the few commands we send is far below this; a longer line means a broken peer. */
const MAX_LINE = 1 << 20;
const COMMAND_TIMEOUT_MS = 30_000;

interface Waiter {
  command: string;
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

interface Message {
  QMP?: unknown;
  event?: string;
  data?: unknown;
  return?: unknown;
  error?: { desc?: unknown };
}

/** A client of QEMU's machine protocol (docs/interop/qmp-spec in QEMU's sources). Events are emitted by their name. */
export class Qmp extends EventEmitter {
  readonly #socket: Duplex;
  readonly #waiters: Waiter[] = [];
  #pending = "";
  #failure: Error | undefined;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", (error) => this.#fail(new VmError("the connection to QEMU broke", { cause: error })));
    socket.on("close", () => this.#fail(new VmError("QEMU closed its control connection")));
  }

  /** Sends a command and gives its answer. Commands are answered in the order in which they were sent. */
  execute(command: string, args?: Record<string, unknown>, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      const late = () => this.#fail(new VmError(`QEMU did not answer ${command} within ${timeoutMs} ms`));
      this.#waiters.push({ command, resolve, reject, timer: setTimeout(late, timeoutMs) });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  /** Waits for an event, of this name and with such data, which it gives. Call it before the command that brings the event about. */
  async event(
    name: string,
    timeoutMs: number,
    fits: (data: Record<string, unknown>) => boolean = () => true,
  ): Promise<Record<string, unknown>> {
    if (this.#failure) throw this.#failure;
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      for (;;) {
        const [data] = (await once(this, name, { signal: timeout })) as [Record<string, unknown>];
        if (fits(data)) return data;
      }
    } catch (error) {
      if (!timeout.aborted) throw error;
      throw new VmError(`QEMU did not report ${name} within ${timeoutMs} ms`, { cause: error });
    }
  }

  #receive(text: string): void {
    this.#pending += text;
    for (let end = this.#pending.indexOf("\n"); end >= 0 && !this.#failure; end = this.#pending.indexOf("\n")) {
      const line = this.#pending.slice(0, end);
      this.#pending = this.#pending.slice(end + 1);
      if (line.trim() !== "") this.#handle(line);
    }
    if (this.#pending.length > MAX_LINE) this.#fail(new VmError("QEMU sent a control message without end"));
  }

  #handle(line: string): void {
    let message: Message;
    try {
      message = parse(line);
    } catch (error) {
      this.#fail(new VmError("QEMU sent a control message that is none", { cause: error }));
      return;
    }
    if (message.QMP !== undefined) {
      this.emit("greeting");
      return;
    }
    if (message.event !== undefined) {
      if (message.event !== "error") this.emit(message.event, isObject(message.data) ? message.data : {});
      return;
    }
    const waiter = this.#waiters.shift();
    if (!waiter) return;
    clearTimeout(waiter.timer);
    if (message.error === undefined) waiter.resolve(message.return);
    else waiter.reject(new VmError(`QEMU refused ${waiter.command}: ${reason(message.error)}`));
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    // Nothing that still comes is of use, and it must not pile up.
    this.#socket.destroy();
    for (const waiter of this.#waiters.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(error);
    }
    if (this.listenerCount("error") > 0) this.emit("error", error);
  }
}

/** @throws Error when the line is no message of the protocol */
function parse(line: string): Message {
  const message = JSON.parse(line) as unknown;
  if (!isObject(message)) throw new Error("it is no object");
  if ("QMP" in message || "return" in message) return message;
  if (typeof message.event === "string" || isObject(message.error)) return message as Message;
  throw new Error("it is neither an answer nor an event");
}

function reason({ desc }: { desc?: unknown }): string {
  return typeof desc === "string" ? desc : "no reason given";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
