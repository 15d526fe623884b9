export {
  type Assets,
  assetsWith,
  ensureAssets,
  type GuestFiles,
  hostArchitecture,
  knownAssets,
  qemuMissing,
  refreshAssets,
} from "./assets.js";
export { entitlementsPath, grantHypervisor, type HypervisorEntitlement, hypervisorEntitlement } from "./codesign.js";
export { makeExt4 } from "./ext4.js";
export { aptInstall, canInstall, distribution, installHint } from "./packages.js";
export { findProgram, inspectQemu, locateQemu } from "./qemu.js";
export { runProgram } from "./run-program.js";
export { unusedAssets } from "./unused.js";
