import type { EvaluatedStage, Stage, Step } from "../dockerfile/index.js";
import type { OnBuild } from "./events.js";

/** Numbers the steps of a build that may change files, and tells of them. */
export class BuildProgress {
  readonly #report: OnBuild;
  readonly #numbers = new Map<Step, number>();
  #cached = 0;

  constructor(stages: readonly EvaluatedStage[], report: OnBuild = () => undefined) {
    this.#report = report;
    const steps = stages.flatMap((stage) => stage.steps.filter(({ kind }) => kind !== "config"));
    for (const step of steps) this.#numbers.set(step, this.#numbers.size + 1);
  }

  get total(): number {
    return this.#numbers.size;
  }

  /** Steps that were found. */
  get cached(): number {
    return this.#cached;
  }

  output(number: number, stream: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#report({ kind: "output", number, stream, bytes });
  }

  /** Tells of a step that is done by `task`, unless `signal` stops it. */
  async during<T>(
    stage: Stage,
    step: Step,
    signal: AbortSignal,
    task: (number: number) => Promise<{ value: T; cached: boolean | undefined }>,
  ): Promise<T> {
    const number = this.#numbers.get(step);
    if (number === undefined) return (await task(0)).value;
    const name = stage.name ?? String(stage.index);
    const about = { kind: "step" as const, number, total: this.total, stage: name, title: step.title };
    const start = performance.now();
    const durationMs = () => performance.now() - start;
    this.#report({ ...about, state: "started" });
    try {
      const { value, cached } = await task(number);
      if (cached) this.#cached++;
      this.#report({ ...about, state: cached ? "cached" : "finished", durationMs: durationMs() });
      return value;
    } catch (error) {
      this.#report({ ...about, state: signal.aborted ? "stopped" : "failed", durationMs: durationMs() });
      throw error;
    }
  }
}
