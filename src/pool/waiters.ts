import { startTimer } from "./options.js";

/** A caller that waits for something to become free. */
export interface Waiter<L> {
  since: number;
  resolve(lease: L): void;
  reject(error: unknown): void;
}

/** How long a caller waits. */
export interface Patience {
  timeoutMs: number;
  signal: AbortSignal | undefined;
  /** The error for a caller whose time is over. */
  late(): Error;
  /** A caller has gone without having been served. */
  left(): void;
}

/** Callers in the order in which they came. */
export class Waiters<L> {
  readonly #queue = new Set<Waiter<L>>();

  get size(): number {
    return this.#queue.size;
  }

  /** Waits to be served. Rejects with `late()`, the reason of an aborted signal, or what {@link Waiter.reject} is given. */
  wait(since: number, { timeoutMs, signal, late, left }: Patience): Promise<L> {
    return new Promise((resolve, reject) => {
      const leave = (error: unknown) => {
        waiter.reject(error);
        left();
      };
      const abort = () => leave(signal?.reason);
      const timer = startTimer(() => leave(late()), timeoutMs);
      const forget = () => {
        this.#queue.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter<L> = {
        since,
        resolve: (lease) => {
          forget();
          resolve(lease);
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#queue.add(waiter);
    });
  }

  /** The one who has waited longest. */
  first(): Waiter<L> | undefined {
    const [first] = this.#queue;
    return first;
  }
}
