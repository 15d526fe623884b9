/** Something lent by a pool. */
export interface Lease<T> {
  readonly resource: T;
  /** Gives it back. More than once is harmless. */
  release(): void;
}

/** How one is acquired. */
export interface AcquireOptions {
  /** How many milliseconds to wait, instead of the pool's `acquireTimeoutMs`. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What becomes of a resource, in this order; it idles and is lent again where that is wanted. */
export type State = "warming" | "idle" | "lent" | "returning" | "ending";

/** A resource of a pool. */
export interface Held<T> {
  resource: T;
  state: State;
  /** When it began to idle, or was lent. */
  since: number;
  unwatch: () => void;
}
