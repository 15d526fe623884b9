export {
  type GitCheckout,
  type GitEntry,
  type GitRepository,
  type GitRequest,
  gitDirectory,
  type MadeFile,
  type MadeNode,
} from "./git/index.js";
export { Remote, storedDownloads } from "./remote.js";
export type { Download, DownloadOptions, StoredDownload, WebLimits } from "./web/index.js";
