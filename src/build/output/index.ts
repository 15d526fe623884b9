export { type BuildOutput, parseBuildOutput } from "./output.js";
export { imageNames, type WrittenOutput, writeOutput } from "./write-output.js";
