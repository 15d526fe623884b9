export { type Download, type DownloadOptions, Downloads } from "./downloads.js";
export type { WebLimits } from "./limits.js";
export { listDownloads, type StoredDownload } from "./list-downloads.js";
export { shownUrl, WebClient, type WebRequest, type WebResponse } from "./web-client.js";
