export { mountFolder } from "./mount.js";
export { checkMounts, type Mount, type MountOptions, parseMount, type SymlinkPolicy } from "./options.js";
