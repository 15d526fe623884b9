/** What long work is busy with. */
export type ProgressPhase = "setup" | "accelerator" | "template" | "layer" | "bake" | "push" | "save";

/** One step of long work. A step is reported when it starts, as it advances, and once with `finished`. */
export interface ProgressEvent {
  phase: ProgressPhase;
  /** Which of several things of this phase, such as a layer's digest. */
  item: string;
  /** Bytes done and to do, where that is known. */
  done?: number;
  total?: number;
  finished?: boolean;
}

/** Receives progress events. It must not throw. */
export type OnProgress = (event: ProgressEvent) => void;

/** Options that every long operation takes. */
export interface LongWork {
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}
