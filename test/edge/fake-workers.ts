import { createServer, type RequestListener, type Server } from "node:http";
import { type Duplex, duplexPair } from "node:stream";
import type { EdgeWorker, WorkerSource } from "../../src/edge/index.js";

/** A worker that is an HTTP server in this process, reached over pairs of streams. */
export class FakeWorker implements EdgeWorker {
  readonly number: number;
  readonly server: Server;
  readonly connections = new Set<Duplex>();
  readonly ended: Promise<Error | undefined>;
  #end: (error: Error | undefined) => void = () => undefined;
  stopped = false;
  /** Set to refuse connections. */
  refusal: Error | undefined;

  constructor(number: number, listener: RequestListener) {
    this.number = number;
    this.server = createServer({ keepAliveTimeout: 60_000 }, listener);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async connect(): Promise<Duplex> {
    if (this.refusal) throw this.refusal;
    const [ours, theirs] = duplexPair();
    // A pair knows no reset: the end of one is the end of the other.
    ours.once("close", () => theirs.destroy());
    theirs.once("close", () => ours.destroy());
    for (const each of [ours, theirs]) each.on("error", () => undefined);
    this.connections.add(ours);
    ours.once("close", () => this.connections.delete(ours));
    this.server.emit("connection", theirs);
    return ours;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    for (const each of this.connections) each.destroy();
    this.#end(undefined);
  }

  /** Ends by itself. */
  die(reason = new Error("the guest panicked")): void {
    for (const each of this.connections) each.destroy(reason);
    this.#end(reason);
  }
}

/** Starts such workers. */
export class FakeSource implements WorkerSource {
  readonly workers: FakeWorker[] = [];
  readonly #listener: (worker: FakeWorker) => RequestListener;
  closed = false;
  /** Is awaited by each start; throw in it to let the start fail. */
  beforeStart: (signal: AbortSignal) => Promise<void> = async () => undefined;

  constructor(listener: (worker: FakeWorker) => RequestListener) {
    this.#listener = listener;
  }

  async start(signal: AbortSignal): Promise<FakeWorker> {
    await this.beforeStart(signal);
    const worker: FakeWorker = new FakeWorker(this.workers.length, (request, response) =>
      this.#listener(worker)(request, response),
    );
    this.workers.push(worker);
    return worker;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** Workers that say their number. */
export function numbered(): FakeSource {
  return new FakeSource((worker) => (_request, response) => response.end(`worker ${worker.number}`));
}
