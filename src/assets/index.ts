export { type Assets, ensureAssets, hostArchitecture, knownAssets, refreshAssets } from "./assets.js";
export { distribution, installHint } from "./packages.js";
export { findProgram, inspectQemu, locateQemu } from "./qemu.js";
export { unusedAssets } from "./unused.js";
