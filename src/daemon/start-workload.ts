import type { Image } from "../image/index.js";
import type { EgressEvent } from "../network/index.js";
import type { Vm, VmProcess } from "../vm/index.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/** A VM with its workload in it. */
export interface Running {
  vm: Vm;
  workload: VmProcess;
  startedAt: number;
}

/** Whether the workload runs in the snapshot already, and goes on instead of being started. */
export function goesOn(image: Image, spec: Pick<SupervisorSpec, "cmd" | "entrypoint">): boolean {
  return image.workloadPid !== undefined && spec.cmd === undefined && spec.entrypoint === undefined;
}

/** Restores a VM and starts the workload in it, or connects to the one that came with the snapshot. */
export async function startWorkload(
  image: Image,
  spec: SupervisorSpec,
  onEgress: (event: EgressEvent) => void,
  signal: AbortSignal | undefined,
): Promise<Running> {
  const { mounts, volumes, egress, publish, env, cwd, user, cmd, entrypoint, identity } = spec;
  const storage = { mounts, volumes };
  const network = { egress, publish, onEgress };
  const own = { ...(identity && { identity }), ...(signal && { signal }) };
  const vm = await image.start({ workload: false, ...storage, ...network, ...own });
  try {
    const changes = { env, ...(cwd !== undefined && { cwd }), ...(user !== undefined && { user }), cmd, entrypoint };
    // Kept in the guest as well, so that the workload of a fork can be connected to.
    const workload =
      image.workloadPid !== undefined && goesOn(image, spec)
        ? await vm.attach(image.workloadPid)
        : await vm.start({ ...changes, keepOutput: true });
    vm.adoptWorkload(workload);
    return { vm, workload, startedAt: Date.now() };
  } catch (error) {
    await vm[Symbol.asyncDispose]();
    throw error;
  }
}
