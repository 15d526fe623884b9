import type { SessionIdentity } from "../guest/index.js";
import type { Image } from "../image/index.js";
import type { ForkedMachines, Machine } from "../machine/index.js";
import type { EgressOptions } from "../network/index.js";
import type { RunConfiguration } from "./run-configuration.js";
import type { Workload } from "./workload.js";

/** What is known of a VM that is captured. */
export interface CapturedVm {
  hostname: string;
  /** Process id of its workload in the guest. */
  workloadPid: number | undefined;
}

/** What a VM is told of where it comes from. */
export interface VmOrigin {
  config: RunConfiguration;
  /** The host name that it was started with. */
  hostname: string;
  /** What it may reach. */
  egress: EgressOptions;
  /** Captures the machine, which has this host name and workload, as a snapshot in `folder`. */
  snapshot(machine: Machine, folder: string, about: CapturedVm): Promise<Image>;
  /** Clones the machine once for each identity. */
  fork(machine: Machine, identities: readonly SessionIdentity[], signal?: AbortSignal): Promise<ForkedMachines>;
}

/** What a VM is told of the pool that it belongs to. */
export interface PooledVm {
  /** The image's own command, if it was started in the machine. */
  workload: Workload | undefined;
  /** Gives the machine back, at once or when the promise resolves; more than once is harmless. */
  giveBack(): void | Promise<void>;
}
