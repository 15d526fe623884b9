export { layersOrigin, measured, type OutgoingLayer } from "./image-origin.js";
export { type BuildOutput, parseBuildOutput, STDOUT } from "./output.js";
export { imageNames, type WrittenOutput, writeOutput } from "./write-output.js";
