import { type BuildError, VmError } from "../errors.js";
import type { Machine } from "../machine/index.js";
import { Egress } from "../network/index.js";
import { VmProcess } from "../vm/index.js";
import type { MachineCommand } from "./machine.js";

/** Tried one after the other, behind the shell of the image. */
const SHELLS = ["/bin/sh", "/bin/bash", "/bin/busybox"];

/** The terminal of a shell, and what ends it. */
export interface ShellOptions {
  rows: number;
  cols: number;
  /** The kind of terminal, for the variable TERM. */
  term?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** A command of a build that failed, whose machine is still as it was. */
export interface FailedCommand {
  error: BuildError;
  /**
   * Starts a shell on a terminal where the command ran: its files, mounts, secrets, variables, folder, user and network.
   * @throws VmError when the image has no shell
   */
  openShell(options: ShellOptions): Promise<VmProcess>;
}

/** Holds what a failed command had until somebody has looked at it. */
export class KeptCommand implements FailedCommand, AsyncDisposable {
  readonly error: BuildError;
  readonly #machine: Machine;
  readonly #command: MachineCommand;
  readonly #shell: string;
  readonly #held: AsyncDisposable;
  #network: Pick<Egress, "close"> | undefined;

  /** @param held is let go of after the machine */
  constructor(error: BuildError, machine: Machine, command: MachineCommand, shell: string, held: AsyncDisposable) {
    this.error = error;
    this.#machine = machine;
    this.#command = command;
    this.#shell = shell;
    this.#held = held;
  }

  async openShell({ rows, cols, term, signal }: ShellOptions): Promise<VmProcess> {
    const { agent } = this.#machine;
    const { env, cwd, user, rlimits = [], egress } = this.#command;
    this.#network ??= Egress.open(agent.network, { policy: egress });
    const surroundings = { env: { ...(term !== undefined && { TERM: term }), ...env }, cwd, user, rlimits };
    let cause: unknown;
    for (const shell of new Set([this.#shell, ...SHELLS])) {
      const argv = shell.endsWith("busybox") ? [shell, "sh"] : [shell];
      const request = { ...surroundings, argv, stdin: "pipe" as const, tty: { rows, cols }, link: "control" as const };
      try {
        return new VmProcess(await agent.exec(request, signal ? { signal } : {}));
      } catch (error) {
        signal?.throwIfAborted();
        cause = error;
      }
    }
    throw new VmError(`there is no shell in the image: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#network?.close();
    try {
      await this.#machine.stop();
    } finally {
      await this.#held[Symbol.asyncDispose]();
    }
  }
}
