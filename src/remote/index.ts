export {
  type GitCheckout,
  type GitEntry,
  type GitRepository,
  type GitRequest,
  gitDirectory,
  type MadeFile,
  type MadeNode,
} from "./git/index.js";
export { Remote } from "./remote.js";
export type { Download, DownloadOptions, WebLimits } from "./web/index.js";
