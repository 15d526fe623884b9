import { join } from "node:path";
import type { EgressPolicy } from "../network/index.js";
import { once } from "../once.js";
import { type Download, type DownloadOptions, Downloads, WebClient, type WebLimits } from "./web/index.js";

/** What is fetched from elsewhere on this machine for builds, under their egress policy, and kept in a folder. */
export class Remote implements AsyncDisposable {
  readonly #client: () => WebClient;
  readonly #downloads: () => Downloads;
  #isOpen = false;

  constructor(folder: string, policy: EgressPolicy, limits: Partial<WebLimits> = {}) {
    this.#client = once(() => {
      this.#isOpen = true;
      return new WebClient(policy, limits);
    });
    this.#downloads = once(() => new Downloads(join(folder, "downloads"), this.#client()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOpen) await this.#client()[Symbol.asyncDispose]();
  }

  /**
   * A file from the web; one that is here is asked for again only in case that it has changed.
   * @throws NetworkError, NoSpaceError
   */
  async download(url: URL, options: DownloadOptions = {}): Promise<Download> {
    return await this.#downloads().fetch(url, options);
  }
}
