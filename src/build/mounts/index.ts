export { attachMounts } from "./attach-mounts.js";
export type { MountContext, MountSource } from "./mount-context.js";
export { mountKeys } from "./mount-keys.js";
export { type MachineMount, type PreparedMounts, prepareMounts } from "./prepare-mounts.js";
export { parseSecret, readSecret, type SecretSource } from "./secrets.js";
