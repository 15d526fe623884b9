export { type Assets, ensureAssets, hostArchitecture, refreshAssets } from "./assets.js";
export { distribution, installHint } from "./packages.js";
export { findProgram, inspectQemu, locateQemu } from "./qemu.js";
