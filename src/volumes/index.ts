export { attachVolume, type HeldVolume, holdVolumes } from "./attach.js";
export { makeImage, readImage, type VolumeState } from "./image-file.js";
export { checkVolumes, parseVolume, type VolumeOptions } from "./options.js";
export { createVolume, inspectVolume, listVolumes, removeVolume, type VolumeSummary } from "./store.js";
