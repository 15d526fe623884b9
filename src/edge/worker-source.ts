import type { Duplex } from "node:stream";

/** A server that requests are handed to, such as the one in a microVM. */
export interface EdgeWorker {
  /** Opens a connection to it. Rejects when nothing listens. */
  connect(signal?: AbortSignal): Promise<Duplex>;
  /** What it is told with each request besides the client's own headers, as name, value, name, value. */
  readonly headers?: readonly string[];
  /** Resolves once it serves no more, and says why when that was by itself. Never rejects. */
  readonly ended: Promise<Error | undefined>;
  /** Ends it in order; resolves when nothing of it is left. Never rejects. */
  stop(): Promise<void>;
}

/** Where workers come from. */
export interface WorkerSource {
  /** Gives one that accepts connections. */
  start(signal: AbortSignal): Promise<EdgeWorker>;
  /** No more will be started. Called once all workers have been stopped. */
  close(): Promise<void>;
}
