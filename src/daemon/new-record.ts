import type { Image } from "../image/index.js";
import { imageCommand } from "../vm/index.js";
import type { VmRecord } from "./record.js";
import type { Running } from "./start-workload.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/** What is known of a VM before it is started, by this process. */
export function newRecord(image: Image, spec: SupervisorSpec): VmRecord {
  const { name, labels, remove, graceMs, stopSignal } = spec;
  return {
    ...{ name, labels, remove, graceMs, stopSignal, status: "starting", pid: process.pid, restarts: 0 },
    ...{ createdAt: new Date().toISOString(), image: spec.image ?? image.name, reference: image.reference },
    ...{ snapshotPath: image.snapshotPath, memoryMiB: image.memoryMiB, vcpus: image.vcpus },
    command: spec.command ?? imageCommand(image.config, spec),
  };
}

/** What each start brings. */
export function startOf({ vm }: Running, { health }: SupervisorSpec): Partial<VmRecord> {
  const ports = vm.exposed.map(({ protocol, host, hostPort, guestPort }) => ({ protocol, host, hostPort, guestPort }));
  return {
    ...{ vmPid: vm.pid, isolation: vm.isolation, startedAt: new Date().toISOString(), ports },
    ...{ health: health && { status: "starting", failures: 0 }, error: undefined },
  };
}
