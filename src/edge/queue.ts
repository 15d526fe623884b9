/** Callers that wait for something, served in the order in which they came. */
export class Queue<T> {
  readonly #waiting = new Set<{ resolve(value: T): void; reject(error: Error): void }>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Waits to be served; rejects with what `late` gives after `timeoutMs`, or with the reason of the signal. */
  wait(timeoutMs: number, late: () => Error, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        this.#waiting.delete(entry);
      };
      const entry = {
        resolve: (value: T) => {
          done();
          resolve(value);
        },
        reject: (error: Error) => {
          done();
          reject(error);
        },
      };
      const abort = () => entry.reject(signal.reason as Error);
      const timer = setTimeout(() => entry.reject(late()), timeoutMs);
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.add(entry);
      if (signal.aborted) abort();
    });
  }

  /** Serves callers as long as there is something for them. */
  serve(next: () => T | undefined): void {
    for (const waiter of [...this.#waiting]) {
      const value = next();
      if (value === undefined) return;
      waiter.resolve(value);
    }
  }

  rejectAll(error: Error): void {
    for (const waiter of [...this.#waiting]) waiter.reject(error);
  }
}
