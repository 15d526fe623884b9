/** What a build tells of one of its instructions. */
export type BuildEvent = StepEvent | OutputEvent | WarningEvent;

/** A step of a build: an instruction, or opening the image that a stage begins with. */
export interface StepEvent {
  kind: "step";
  /** From 1, over all stages that are built, in the order of the Dockerfile. */
  number: number;
  total: number;
  /** The stage's name, or its index. */
  stage: string;
  /** The instruction in one line. */
  title: string;
  /** `cached`: it was found, and ends with that; `stopped`: it was given up, since another step has failed or the build was aborted. */
  state: "started" | "cached" | "finished" | "failed" | "stopped";
  /** Milliseconds; of what has ended. */
  durationMs?: number | undefined;
}

/** What the command of a step writes. */
export interface OutputEvent {
  kind: "output";
  number: number;
  stream: "stdout" | "stderr";
  bytes: Uint8Array;
}

/** Something in the Dockerfile that hardly is as it was meant. */
export interface WarningEvent {
  kind: "warning";
  rule: string;
  message: string;
  file: string;
  line: number;
}

/** Receives the events of a build. It must not throw. */
export type OnBuild = (event: BuildEvent) => void;
