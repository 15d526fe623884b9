export { findCompiler } from "./agent.js";
export { type Assets, ensureAssets, hostArchitecture, refreshAssets } from "./assets.js";
export { canInstall, distribution, installHint } from "./packages.js";
export { findProgram, inspectQemu, locateQemu } from "./qemu.js";
