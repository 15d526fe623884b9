import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EgressPolicy } from "../network/index.js";
import { once } from "../once.js";
import { sweepScratch } from "../store/index.js";
import { GitRepository, type GitRequest, PACK } from "./git/index.js";
import {
  type Download,
  type DownloadOptions,
  Downloads,
  listDownloads,
  type StoredDownload,
  WebClient,
  type WebLimits,
} from "./web/index.js";

const DOWNLOADS = "downloads";

/** What is fetched from elsewhere on this machine for builds, under their egress policy, and kept in a folder. */
export class Remote implements AsyncDisposable {
  readonly #folder: string;
  readonly #client: () => WebClient;
  readonly #downloads: () => Downloads;
  readonly #swept: () => Promise<void>;
  readonly #open: AsyncDisposable[] = [];

  constructor(folder: string, policy: EgressPolicy, limits: Partial<WebLimits> = {}) {
    this.#folder = folder;
    this.#client = once(() => {
      const client = new WebClient(policy, limits);
      this.#open.push(client);
      return client;
    });
    this.#downloads = once(() => new Downloads(join(folder, DOWNLOADS), this.#client()));
    this.#swept = once(async () => {
      await mkdir(folder, { recursive: true });
      await sweepScratch(folder, PACK);
    });
  }

  /** Ends all connections; repositories can no longer be read. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  }

  /**
   * A file from the web; one that is here is asked for again only in case that it has changed.
   * @throws NetworkError, NoSpaceError
   */
  async download(url: URL, options: DownloadOptions = {}): Promise<Download> {
    return await this.#downloads().fetch(url, options);
  }

  /** A git repository, which nobody is asked for yet. Whoever opens it disposes of it. */
  async repository(request: GitRequest): Promise<GitRepository> {
    await this.#swept();
    return new GitRepository({ client: this.#client(), folder: this.#folder }, request);
  }
}

/** The files from the web that a {@link Remote} of this folder has kept. */
export async function storedDownloads(folder: string): Promise<StoredDownload[]> {
  return await listDownloads(join(folder, DOWNLOADS));
}
