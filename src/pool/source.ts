/** What a pool needs to know of the things it holds. */
export interface PoolSource<T> {
  /** Makes a clean one that answers. Rejects, and leaves nothing behind, when `signal` aborts. */
  create(signal: AbortSignal): Promise<T>;
  /** Ends one, `reason` being what is wrong with it; resolves when nothing of it is left, and never rejects. */
  destroy(resource: T, reason?: Error): Promise<void>;
  /** Resolves when one has ended: with an error when it was by itself. */
  ended(resource: T): Promise<Error | undefined>;
  /** Makes the first use of an idle one quicker. It can be lent meanwhile. Rejects when it is of no use. */
  warm(resource: T): Promise<void>;
  /** Rejects when one that idles could not serve: it does not answer, or has no room left. */
  check(resource: T): Promise<void>;
  /** Resolves as soon as one that is in use shows any sign of life. */
  ping(resource: T): Promise<void>;
  /** Whether one keeps this process alive: those that are lent do, those that idle do not. */
  hold(resource: T, held: boolean): void;
  /** What is in the way of one more, in words; nothing when there is room. */
  obstacle(): string | undefined;
  /** Callers wait, and there is an obstacle: asks others to give up what they do not need. */
  makeRoom(): void;
  /** Whether the pool holds or wants anything, or is to be ready for that. Told often, mostly without a change. */
  active(active: boolean): void;
}
