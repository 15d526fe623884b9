import type { Socket } from "node:net";
import type { Dispatcher, Pool } from "undici";
import { WORKER_CONNECTIONS } from "./options.js";
import type { EdgeWorker } from "./worker-source.js";

/** Longer than a client's headers may be, for a worker's answer is not bounded by what clients send. */
const MAX_ANSWER_HEADERS = 65_536;
/** Below what common servers keep an idle connection open for (Node and uvicorn: 5 s); a `Keep-Alive` header says otherwise. */
const KEEP_ALIVE_MS = 4_000;

/**
 * Of undici just the client: 22 modules instead of 110, of which the first request of a service would have to wait 50 to 80 ms longer. Whoever
 * knows that there will be workers loads it in advance.
 */
export function loadClient(): Promise<{ default: typeof Pool }> {
  return import("undici/lib/dispatcher/pool.js");
}

/** What `/_health` shows of a worker. */
export interface WorkerHealth {
  id: number;
  state: "ready" | "stopping";
  /** Requests it has, streams and upgraded connections included. */
  active: number;
  /** Of these, how many it has not begun to answer. */
  unanswered: number;
  /** Requests it was given so far. */
  requests: number;
  /** Of these, how many failed because of it. */
  failures: number;
  upSeconds: number;
}

/** One server behind a service, with the connections to it. */
export class Worker {
  readonly id: number;
  readonly #upstream: EdgeWorker;
  readonly #pool: Pool;
  readonly #since = performance.now();
  active = 0;
  unanswered = 0;
  requests = 0;
  failures = 0;
  stopping = false;

  private constructor(id: number, upstream: EdgeWorker, pool: Pool) {
    this.id = id;
    this.#upstream = upstream;
    this.#pool = pool;
  }

  /** @param answerTimeoutMs how long it may take to begin an answer */
  static async open(id: number, upstream: EdgeWorker, answerTimeoutMs: number): Promise<Worker> {
    const { default: Client } = await loadClient();
    const pool = new Client("http://worker", {
      connections: WORKER_CONNECTIONS,
      pipelining: 1,
      headersTimeout: answerTimeoutMs,
      // A stream may be silent for as long as it likes.
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_ANSWER_HEADERS,
      // Of a socket undici needs no more than every Duplex has.
      connect: (_options, done) => {
        upstream.connect().then(
          (stream) => done(null, stream as Socket),
          (error: Error) => done(error, null),
        );
      },
    });
    return new Worker(id, upstream, pool);
  }

  get headers(): readonly string[] {
    return this.#upstream.headers ?? [];
  }

  get ended(): Promise<Error | undefined> {
    return this.#upstream.ended;
  }

  /** How long it has been ready, in milliseconds. */
  get upMs(): number {
    return performance.now() - this.#since;
  }

  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(request, handler);
  }

  health(): WorkerHealth {
    const { id, active, unanswered, requests, failures } = this;
    const state = this.stopping ? "stopping" : "ready";
    return { id, state, active, unanswered, requests, failures, upSeconds: Math.round(this.upMs / 1_000) };
  }

  /** Ends it with what it is at; `reason` is what the requests fail with. */
  async stop(reason: Error): Promise<void> {
    this.stopping = true;
    await Promise.all([this.#pool.destroy(reason), this.#upstream.stop()]);
  }
}
