import { SupermachineError } from "../errors.js";
import { errnoName } from "./errno.js";
import { Fields } from "./fields.js";

/** What the agent was doing when a request failed. */
export type FailureStage = "other" | "user" | "cwd" | "command" | "files";

const STAGES: readonly FailureStage[] = ["other", "user", "cwd", "command", "files"];

/** Kinds of RESULT. */
export const ResultKind = { started: 1, exited: 2, done: 3, failed: 4 } as const;

/** A FAILED result of the agent. `text` is the guest's own account of it. */
export interface Failure {
  errno: string;
  stage: FailureStage;
  text: string;
  /** Of a chain of commands: which one, 0 being the first. */
  step: number;
}

/** Decodes the fields of FAILED. Throws a plain Error when they are malformed. */
export function decodeFailure(payload: Buffer): Failure {
  const fields = new Fields(payload, [1, 2, 3, 4]);
  const step = fields.has(4) ? fields.u32(4) : 0;
  return { errno: errnoName(fields.u32(1)), stage: STAGES[fields.u16(3)] ?? "other", text: fields.text(2), step };
}

/**
 * A command that could not be started in the guest. `errno` is why, such as `ENOENT`; `stage` what was being done: finding the
 * `user`, entering the `cwd`, starting the `command`, or writing the `files` that come with it.
 */
export class ExecFailure extends SupermachineError {
  readonly errno: string;
  readonly stage: FailureStage;
  /** Of a chain of commands: which one, 0 being the first. */
  readonly step: number;

  constructor(failure: Failure, argv: readonly string[]) {
    super("ERR_SUPERMACHINE_EXEC", `Could not run ${JSON.stringify(argv[0])} in the guest: ${failure.text}`);
    this.errno = failure.errno;
    this.stage = failure.stage;
    this.step = failure.step;
  }

  /** The exit code by which shells report it: 127 for a command that is not there, else 126. */
  get exitCode(): number {
    return this.stage === "command" && ["ENOENT", "ENOTDIR"].includes(this.errno) ? 127 : 126;
  }
}
