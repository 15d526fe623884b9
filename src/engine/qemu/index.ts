export { qemuBinary } from "./arguments.js";
export { Qemu } from "./qemu.js";
