export { Remote } from "./remote.js";
export type { Download, DownloadOptions } from "./web/index.js";
