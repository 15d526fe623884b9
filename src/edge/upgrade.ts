import { STATUS_CODES } from "node:http";
import { type Duplex, Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { type Exchange, problemOf } from "./exchange.js";
import { requestHeaders, responseHeaders } from "./headers.js";
import { Problem, rawProblem } from "./problem.js";
import type { Slot } from "./service.js";

/** How long one side of an upgraded connection may go on when the other has ended. */
const HALF_OPEN_MS = 5_000;

/**
 * Hands a request for another protocol, such as WebSocket, to a worker, and joins the two connections if it agrees; an answer that
 * refuses is passed on. Never rejects.
 */
export async function forwardUpgrade(exchange: Exchange, client: Duplex, head: Buffer): Promise<void> {
  client.on("error", () => undefined);
  client.once("close", () => exchange.clientGone());
  try {
    const slot = await exchange.slot();
    try {
      await new Upgrade(exchange, client, head, slot).run(requestHeaders(exchange.request, exchange.trusted));
    } catch (error) {
      slot.worker.failures++;
      throw problemOf(error as Error, slot);
    } finally {
      slot.release();
    }
  } catch (error) {
    if (exchange.gone.aborted) return;
    const problem = error instanceof Problem ? error : new Problem(502, "worker_failed", String(error));
    exchange.problem = problem.message;
    if (exchange.status === 0) client.end(rawProblem(problem, exchange.request.headers.accept));
    else client.destroy();
    exchange.status ||= problem.status;
  } finally {
    exchange.finish();
  }
}

class Upgrade implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #client: Duplex;
  readonly #head: Buffer;
  readonly #slot: Slot;
  #resolve: () => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  /** The body of an answer that refuses. */
  #refusal: Readable | undefined;

  constructor(exchange: Exchange, client: Duplex, head: Buffer, slot: Slot) {
    this.#exchange = exchange;
    this.#client = client;
    this.#head = head;
    this.#slot = slot;
  }

  /** Resolves when both connections are gone. */
  run(headers: string[]): Promise<void> {
    const { method = "GET", url = "/", headers: own } = this.#exchange.request;
    return new Promise<void>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      const { worker } = this.#slot;
      const all = [...headers, ...worker.headers];
      worker.dispatch({ method, path: url, headers: all, upgrade: own.upgrade ?? "websocket" }, this);
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { gone } = this.#exchange;
    const abort = () => controller.abort(gone.reason as Error);
    if (gone.aborted) abort();
    else gone.addEventListener("abort", abort, { once: true });
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController, status: number, _headers: unknown, worker: Duplex): void {
    this.#begin(controller, status, `Connection: Upgrade\r\nUpgrade: ${this.#exchange.request.headers.upgrade}\r\n`);
    worker.on("error", () => undefined);
    worker.on("data", (chunk: Buffer) => {
      this.#exchange.bytes += chunk.length;
    });
    if (this.#head.length > 0) worker.write(this.#head);
    this.#client.pipe(worker).pipe(this.#client);
    for (const [one, other] of [
      [worker, this.#client],
      [this.#client, worker],
    ] as const) {
      // Few protocols go on in one direction only, and a server that never notices would keep its connection for ever.
      one.once("end", () => setTimeout(() => one.destroy(), HALF_OPEN_MS).unref());
      // What broke is not to look as if it had ended.
      one.once("close", () => (one.readableEnded ? undefined : other.destroy()));
    }
    worker.once("close", () => this.#resolve());
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    this.#begin(controller, status, "Connection: close\r\n");
    this.#refusal = new Readable({ read: () => controller.resume() });
    this.#refusal.pipe(this.#client);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#exchange.bytes += chunk.length;
    if (!this.#refusal?.push(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.#refusal?.push(null);
    this.#resolve();
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.#reject(error);
  }

  #begin(controller: Dispatcher.DispatchController, status: number, own: string): void {
    this.#slot.answered();
    this.#exchange.status = status;
    const raw = controller.rawHeaders;
    const headers = responseHeaders(Array.isArray(raw) ? raw : []);
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${own}`;
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
    this.#client.write(`${text}\r\n`, "latin1");
  }
}
