import type { Image } from "../image/index.js";
import { type DetachedOptions, detachedSpec } from "./detached-spec.js";
import { RunningVm } from "./running-vm.js";
import { superviseElsewhere } from "./supervise-elsewhere.js";

/**
 * Starts an image's workload in a VM that goes on when this process ends, under a supervisor of its own. Resolves when the workload is
 * ready, see {@link DetachedOptions.ready}.
 * @throws UsageError when the name is taken, VmError when the VM or its workload could not be started or did not become ready; it
 * has the workload's last output, and nothing of the VM is left; CacheInvalidError when the image's template is gone
 */
export async function startDetached(image: Image, options: DetachedOptions = {}): Promise<RunningVm> {
  const spec = detachedSpec(image, options);
  options.signal?.throwIfAborted();
  const { signal, supervisor } = options;
  const record = await superviseElsewhere(spec, { signal, supervisor, worker: await image.workerCommand() });
  return new RunningVm(spec.name, record);
}
