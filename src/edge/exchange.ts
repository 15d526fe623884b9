import type { IncomingMessage, ServerResponse } from "node:http";
import type { AccessEntry } from "./access-log.js";
import { clientOf } from "./headers.js";
import { hasBody, Problem, sendProblem } from "./problem.js";
import type { Service, Slot } from "./service.js";
import type { Worker } from "./worker.js";

/** Methods that may be sent a second time (RFC 9110, section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);
const CLIENT_CLOSED = 499;

/** The client has gone: nothing is left to be done for it. */
export class ClientGone extends Error {}

/** One request of a client and what becomes of it. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly service: Service;
  readonly trusted: boolean;
  readonly hasBody: boolean;
  readonly #gone = new AbortController();
  readonly #report: ((entry: AccessEntry) => void) | undefined;
  readonly #came = performance.now();
  #waitedMs = 0;
  #worker: Worker | undefined;
  #over = false;
  retries = 0;
  status = 0;
  bytes = 0;
  /** Why the edge answered itself, or cut the answer off. */
  problem: string | undefined;
  /** Whether it is the client that has to do something now: send more of its body, or take more of the answer. */
  awaitsClient = false;
  bodyRead = false;

  /**
   * @param trusted whether it comes from an edge in front of this one, whose headers are believed
   * @param report is given an entry for the access log
   */
  constructor(request: IncomingMessage, service: Service, trusted: boolean, report?: (entry: AccessEntry) => void) {
    this.request = request;
    this.trusted = trusted;
    this.service = service;
    this.#report = report;
    this.hasBody = hasBody(request);
  }

  /** Aborted when the client has gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether an answer has begun, and not come to its end. */
  get answering(): boolean {
    return this.status !== 0 && !this.#over;
  }

  /** Whether another try could do no harm, given whether the last one got as far as a connection. */
  mayRetry(wasSent: boolean): boolean {
    if (this.gone.aborted || this.bodyRead) return false;
    return !wasSent || (IDEMPOTENT.has(this.request.method ?? "") && !this.hasBody);
  }

  /** A worker for it, the one that failed before only if there is no other. @throws Problem, ClientGone */
  async slot(): Promise<Slot> {
    const avoid = this.#worker;
    let slot = this.service.take(avoid);
    if (!slot) {
      const since = performance.now();
      try {
        slot = await this.service.wait(this.gone);
      } finally {
        this.#waitedMs += performance.now() - since;
      }
    }
    this.#worker = slot.worker;
    return slot;
  }

  /** Reads the body for a worker; nothing is taken from the client before it is iterated. */
  async *body(): AsyncGenerator<Buffer> {
    this.bodyRead = true;
    const chunks = this.request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
    try {
      for (;;) {
        this.awaitsClient = true;
        const { value, done } = await chunks.next();
        this.awaitsClient = false;
        if (done) return;
        yield value;
      }
    } finally {
      this.awaitsClient = false;
    }
  }

  clientGone(): void {
    if (!this.#over) this.#gone.abort(new ClientGone("the client has gone"));
  }

  /** Answers in the worker's stead. */
  fail(problem: Problem, response: ServerResponse): void {
    this.status = problem.status;
    this.problem = problem.message;
    if (!response.headersSent && !response.destroyed) sendProblem(this.request, response, problem);
    else response.destroy();
  }

  /** It is over, one way or the other; the first call counts. */
  finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.awaitsClient = false;
    if (!this.#report) return;
    const now = performance.now();
    const { request, service, status, bytes, retries, problem } = this;
    this.#report({
      time: new Date(Date.now() - (now - this.#came)).toISOString(),
      service: service.name,
      worker: this.#worker?.id,
      client: clientOf(request, this.trusted),
      method: request.method ?? "",
      path: request.url ?? "",
      status: status || CLIENT_CLOSED,
      bytes,
      durationMs: now - this.#came,
      waitedMs: this.#waitedMs,
      retries,
      problem,
    });
  }
}

/** What the failure of a worker is to the client. */
export function problemOf(error: Error & { code?: string; errno?: string | number }, slot: Slot): Problem {
  const { worker } = slot;
  if (error instanceof Problem) return error;
  if (error.code === "UND_ERR_HEADERS_TIMEOUT") {
    return new Problem(504, "answer_timeout", `worker ${worker.id} did not begin to answer in time`);
  }
  if (error.errno === "ECONNREFUSED" || error.code === "ECONNREFUSED") {
    return new Problem(502, "worker_refused", `nothing listens in worker ${worker.id}: ${error.message}`);
  }
  if (error.name === "HTTPParserError" || error.code === "UND_ERR_HEADERS_OVERFLOW") {
    return new Problem(502, "bad_answer", `worker ${worker.id} answered with what is no HTTP: ${error.message}`);
  }
  return new Problem(502, "worker_failed", `worker ${worker.id} failed before it answered: ${error.message}`);
}
