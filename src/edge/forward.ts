import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { type Exchange, problemOf } from "./exchange.js";
import { requestHeaders, responseHeaders } from "./headers.js";
import { Problem } from "./problem.js";
import type { Slot } from "./service.js";

/** Besides the first try. */
const MOST_RETRIES = 2;

/** How one try went: it was answered (or the client has gone), or not at all. */
type Outcome = { answered: true } | { answered: false; error: Error; wasSent: boolean };

/** Hands a request to a worker, and its answer to the client; when nothing came of it, to another one. Never rejects. */
export async function forward(exchange: Exchange, response: ServerResponse): Promise<void> {
  response.once("close", () => {
    if (!response.writableFinished) exchange.clientGone();
    exchange.finish();
  });
  try {
    const headers = requestHeaders(exchange.request, exchange.trusted);
    for (;;) {
      const slot = await exchange.slot();
      const outcome = await new Try(exchange, response, slot).run(headers);
      if (outcome.answered) return;
      slot.worker.failures++;
      const problem = problemOf(outcome.error, slot);
      const isFinal = problem.code !== "worker_failed" && problem.code !== "worker_refused";
      if (isFinal || exchange.retries >= MOST_RETRIES || !exchange.mayRetry(outcome.wasSent)) throw problem;
      exchange.retries++;
    }
  } catch (error) {
    if (exchange.gone.aborted) return;
    exchange.fail(error instanceof Problem ? error : new Problem(502, "worker_failed", String(error)), response);
  }
}

/** One worker's try at a request. */
class Try implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #response: ServerResponse;
  readonly #slot: Slot;
  #done: (outcome: Outcome) => void = () => undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #began = false;
  #onGone = () => this.#controller?.abort(this.#exchange.gone.reason as Error);

  constructor(exchange: Exchange, response: ServerResponse, slot: Slot) {
    this.#exchange = exchange;
    this.#response = response;
    this.#slot = slot;
  }

  run(headers: string[]): Promise<Outcome> {
    const { request, hasBody, gone } = this.#exchange;
    gone.addEventListener("abort", this.#onGone, { once: true });
    const outcome = new Promise<Outcome>((resolve) => {
      this.#done = (value) => {
        gone.removeEventListener("abort", this.#onGone);
        this.#slot.release();
        resolve(value);
      };
    });
    // undici's types do not know that it takes any async iterable.
    const body = hasBody ? (this.#exchange.body() as unknown as Readable) : null;
    const { method = "GET", url = "/" } = request;
    const sent: Dispatcher.DispatchOptions = {
      method,
      path: url,
      headers: [...headers, ...this.#slot.worker.headers],
      body,
    };
    try {
      this.#slot.worker.dispatch(sent, this);
    } catch (error) {
      this.onResponseError(undefined, error as Error);
    }
    return outcome;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#exchange.gone.aborted) this.#onGone();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    message?: string,
  ): void {
    // What is merely informational is for the next hop.
    if (status < 200) return;
    this.#slot.answered();
    this.#began = true;
    this.#exchange.status = status;
    try {
      const raw = controller.rawHeaders;
      this.#response.writeHead(status, message || undefined, responseHeaders(Array.isArray(raw) ? raw : []));
      // An event stream's headers tell that it is open, long before its first event; others leave together with what comes now.
      process.nextTick(() => this.#response.flushHeaders());
    } catch (cause) {
      // A status or header that no HTTP message may have.
      this.#began = false;
      const problem = `worker ${this.#slot.worker.id} answered with what is no HTTP: ${String(cause)}`;
      controller.abort(new Problem(502, "bad_answer", problem));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#exchange.bytes += chunk.length;
    // Chunks that were read already come in spite of a pause.
    if (this.#response.write(chunk) || this.#response.destroyed || this.#exchange.awaitsClient) return;
    controller.pause();
    this.#exchange.awaitsClient = true;
    this.#response.once("drain", () => {
      this.#exchange.awaitsClient = false;
      controller.resume();
    });
  }

  onResponseEnd(): void {
    this.#response.end();
    this.#done({ answered: true });
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (!this.#began) {
      this.#done({ answered: false, error, wasSent: this.#controller !== undefined });
      return;
    }
    // The client has to see that something is missing.
    if (!this.#exchange.gone.aborted) this.#exchange.problem = `the answer was cut off: ${error.message}`;
    this.#response.destroy();
    this.#done({ answered: true });
  }
}
