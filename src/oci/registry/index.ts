export { DEFAULT_LIMITS, type NetworkLimits } from "./network-limits.js";
export type { PullPolicy } from "./policy.js";
export { openRegistry, type RegistryOptions } from "./registry-origin.js";
export { openRegistryTarget, type RegistryTargetOptions } from "./registry-target.js";
