import { randomBytes } from "node:crypto";
import { UsageError } from "../errors.js";
import type { SessionIdentity } from "../guest/index.js";
import type { ForkedMachines, Machine } from "../machine/index.js";
import type { Vm } from "./vm.js";

const MOST_CLONES = 1_000;
/** Linux takes 64 bytes; a dash and six digits are added. */
const BASE_NAME_LENGTH = 57;

/** How {@link Vm.fork} clones. */
export interface ForkOptions {
  /** How many clones are made; 1 by default. */
  count?: number;
  /**
   * Host name and machine id of the clone with this index, from 0 on. What is left out is made up: a random machine id, and the
   * source's host name with six digits of it.
   */
  identity?: (index: number) => SessionIdentity;
  /** Ends the fork; no clone is left then. */
  signal?: AbortSignal;
}

/** A clone that could not be made. */
export interface ForkFailure {
  /** Which one, from 0 on. */
  index: number;
  error: Error;
}

/** What {@link Vm.fork} gives. Disposing of it ends all clones. */
export interface Fork extends AsyncDisposable {
  /** The clones that were made, in their order. */
  vms: Vm[];
  /** Those that were not, and why. */
  failures: ForkFailure[];
  /** How long the source stood still, in milliseconds. */
  pausedMs: number;
}

/** The identities of a fork's clones. @throws UsageError when so many cannot be made */
export function cloneIdentities(options: ForkOptions, hostname: string): Required<SessionIdentity>[] {
  const { count = 1, identity } = options;
  if (!Number.isInteger(count) || count < 1 || count > MOST_CLONES) {
    throw new UsageError(`count is ${count}; it is a whole number from 1 to ${MOST_CLONES}`);
  }
  // A clone of a clone is named after the first of them all.
  const base = hostname.replace(/-[0-9a-f]{6}$/, "").slice(0, BASE_NAME_LENGTH);
  return Array.from({ length: count }, (_, index) => {
    const machineId = randomBytes(16).toString("hex");
    const given = identity?.(index) ?? {};
    return {
      machineId: given.machineId ?? machineId,
      hostname: given.hostname ?? `${base}-${machineId.slice(0, 6)}`,
    };
  });
}

/** Makes VMs of the machines of a fork. */
export function forkOf({ clones, pausedMs }: ForkedMachines, vmOf: (machine: Machine, index: number) => Vm): Fork {
  const fork: Pick<Fork, "vms" | "failures"> = { vms: [], failures: [] };
  for (const [index, clone] of clones.entries()) {
    if (clone.status === "fulfilled") fork.vms.push(vmOf(clone.value, index));
    else fork.failures.push({ index, error: asError(clone.reason) });
  }
  return {
    ...fork,
    pausedMs,
    async [Symbol.asyncDispose]() {
      await Promise.all(fork.vms.map((vm) => vm[Symbol.asyncDispose]()));
    },
  };
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
