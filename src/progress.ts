/** What long work is busy with. */
export type ProgressPhase =
  | "setup"
  | "accelerator"
  | "template"
  | "fetch"
  | "layer"
  | "bake"
  | "warm-up"
  | "pack"
  | "push"
  | "save"
  | "bundle"
  | "verify";

/**
 * Where a layer is: `waiting` for its turn; `fetching` from a registry, or `reading` from a file or an engine, and being
 * converted as it comes; `converting`, when all of it is there; `present`, when it had been converted before.
 */
export type LayerState = "waiting" | "fetching" | "reading" | "converting" | "present";

/** Why and when something is tried again. */
export interface Retry {
  /** The number of the try that follows, 2 or more. */
  attempt: number;
  /** What went wrong, without secrets. */
  reason: string;
  /** Milliseconds before it. */
  waitMs: number;
}

/** One step of long work. A step is reported when it starts, as it advances, and once with `finished`. */
export interface ProgressEvent {
  phase: ProgressPhase;
  /** Which of several things of this phase, such as a layer's digest. */
  item: string;
  /** Bytes done and to do, where that is known; of a layer, those of its blob. */
  done?: number;
  total?: number;
  /** Of a layer. */
  state?: LayerState;
  /** What is done broke off and is tried again, from where it was if that can be. */
  retry?: Retry;
  finished?: boolean;
}

/** Receives progress events. It must not throw. */
export type OnProgress = (event: ProgressEvent) => void;

/** Options that every long operation takes. */
export interface LongWork {
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}
