export { qemuBinary } from "./arguments.js";
export { checkDiskImage, createDiskImage } from "./disk-image.js";
export { Qemu } from "./qemu.js";
