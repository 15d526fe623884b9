export { gitDirectory, type MadeFile, type MadeNode } from "./git-directory.js";
export type { GitEntry } from "./objects.js";
export { type GitCheckout, GitRepository, type GitRequest, PACK } from "./repository.js";
