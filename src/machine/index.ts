export type { MemoryUsage } from "../memory/index.js";
export {
  type AcceleratorVerdict,
  candidates,
  forgetAccelerators,
  isolation,
  proveAccelerator,
} from "./accelerators.js";
export { boot } from "./boot.js";
export { CAPTURE_FILES } from "./capture-files.js";
export { type ForkedMachines, forkMachine } from "./fork.js";
export {
  findTemplateById,
  importedTemplateId,
  installTemplate,
  type TemplateContent,
  templateFiles,
} from "./imported-template.js";
export type { LentDisk } from "./lent-disks.js";
export { Machine, type RestoreOptions } from "./machine.js";
export { type Limits, MemoryLimit, type MemoryUser, memoryLimit, memoryOf, setLimits } from "./memory-limit.js";
export { processorTime } from "./processor-time.js";
export { type GuestState, type RestoreSource, templateSource } from "./restore-source.js";
export { emptyRootDisk, ROOT_DISK_FILE, type RootDisk, rootDiskBytes } from "./root-disk.js";
export { COPY_DISK, openRuntime, type Runtime } from "./runtime.js";
export { settle } from "./settle.js";
export { Spares, spares } from "./spares.js";
export { readStoredTemplate, type StoredTemplate, storedTemplates } from "./stored-templates.js";
export { ensureTemplate, findTemplate, type Size, type Template, templateKey } from "./template.js";
export { waitingCommand } from "./waiting-worker.js";
