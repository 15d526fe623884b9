import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { NetworkError } from "../../errors.js";
import { acquireLock, explainingNoSpace, replace, sweepPartials } from "../../store/index.js";
import { shownUrl, type WebClient, type WebResponse } from "./web-client.js";

/** What is known of a URL since it was fetched last, in a file beside those that were fetched. */
export const Stored = v.object({
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  size: v.pipe(v.number(), v.integer(), v.minValue(0)),
  etag: v.optional(v.string()),
  /** As the server has written it. */
  lastModified: v.optional(v.string()),
});
export type Stored = v.InferOutput<typeof Stored>;

/** A file that was fetched. */
export interface Download {
  path: string;
  /** Hexadecimal. */
  sha256: string;
  size: number;
  /** Seconds since 1970: when the server says that it was changed, 0 when it does not say. */
  mtimeSeconds: number;
}

export interface DownloadOptions {
  /** `sha256:`, `sha384:` or `sha512:` and hexadecimal digits. With it a file that is here is not asked for again. */
  checksum?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Files from the web in a folder, by their content; what is here is fetched again only when the server says that it has changed. */
export class Downloads {
  readonly #folder: string;
  readonly #client: WebClient;

  constructor(folder: string, client: WebClient) {
    this.#folder = folder;
    this.#client = client;
  }

  /** @throws NetworkError when it cannot be fetched, is too large, or has another checksum */
  async fetch(url: URL, { checksum, signal }: DownloadOptions = {}): Promise<Download> {
    await mkdir(this.#folder, { recursive: true });
    const place = join(this.#folder, createHash("sha256").update(url.href).digest("hex"));
    await using _lock = await acquireLock(`${place}.lock`, signal);
    const known = await this.#known(place);
    if (known && checksum === `sha256:${known.sha256}`) return this.#download(known);
    await sweepPartials(this.#folder);
    const { wholeMs } = this.#client.limits;
    const late = AbortSignal.timeout(wholeMs);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    const headers = conditions(known);
    try {
      const fetched = await this.#client.exchange(url, { headers, signal: either }, async (response) => {
        if (response.status === 304 && known) {
          response.body.destroy();
          return known;
        }
        return await this.#save(response, place, checksum, either);
      });
      // Of what was not changed no checksum was compared.
      if (fetched === known && checksum !== undefined) await this.#verify(fetched, url, checksum);
      return await this.#download(fetched);
    } catch (error) {
      signal?.throwIfAborted();
      if (!late.aborted) throw error;
      throw new NetworkError(`${shownUrl(url)} was not there after ${wholeMs / 60_000} minutes`);
    }
  }

  async #known(place: string): Promise<Stored | undefined> {
    try {
      const record = v.parse(Stored, JSON.parse(await readFile(`${place}.json`, "utf8")));
      const { size } = await stat(this.#pathOf(record));
      return size === record.size ? record : undefined;
    } catch {
      return undefined;
    }
  }

  /** Writes it beside its place while it is hashed and counted. */
  async #save(
    response: WebResponse,
    place: string,
    checksum: string | undefined,
    signal: AbortSignal,
  ): Promise<Stored> {
    const { status, body, headers, url } = response;
    if (status !== 200) {
      body.destroy();
      throw new NetworkError(`${shownUrl(url)} cannot be fetched: the server answered ${status}`);
    }
    const partial = `${place}.partial`;
    try {
      const { sha256, size } = await explainingNoSpace(partial, () => this.#write(response, partial, checksum, signal));
      const { etag, "last-modified": lastModified } = headers;
      const record: Stored = { sha256, size, ...(etag && { etag }), ...(lastModified && { lastModified }) };
      await rename(partial, this.#pathOf(record));
      await replace(`${place}.json`, (path) => writeFile(path, JSON.stringify(record)));
      return record;
    } finally {
      body.destroy();
      await rm(partial, { force: true });
    }
  }

  async #write({ body, url, headers }: WebResponse, path: string, checksum: string | undefined, signal: AbortSignal) {
    const { bytes: most } = this.#client.limits;
    const tooLarge = () => new NetworkError(`${shownUrl(url)} has more than ${most} bytes`);
    if (Number(headers["content-length"] ?? 0) > most) throw tooLarge();
    const hash = createHash("sha256");
    const other = checksum === undefined ? undefined : createHash(algorithmOf(checksum));
    await using file = await open(path, "w", 0o600);
    let size = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      size += chunk.length;
      if (size > most) throw tooLarge();
      hash.update(chunk);
      other?.update(chunk);
      await file.write(chunk);
    }
    if (other) compare(url, checksum, other.digest("hex"));
    await file.sync();
    return { sha256: hash.digest("hex"), size };
  }

  async #verify(record: Stored, url: URL, checksum: string): Promise<void> {
    const hash = createHash(algorithmOf(checksum));
    for await (const chunk of createReadStream(this.#pathOf(record))) hash.update(chunk as Buffer);
    compare(url, checksum, hash.digest("hex"));
  }

  async #download(record: Stored): Promise<Download> {
    const path = this.#pathOf(record);
    const now = new Date();
    await utimes(path, now, now);
    const { sha256, size, lastModified } = record;
    const time = Date.parse(lastModified ?? "");
    return { path, sha256, size, mtimeSeconds: Number.isNaN(time) ? 0 : Math.floor(time / 1000) };
  }

  #pathOf({ sha256 }: Pick<Stored, "sha256">): string {
    return join(this.#folder, fileName(sha256));
  }
}

/** What a file is called by its content. */
export function fileName(sha256: string): string {
  return `sha256-${sha256}`;
}

function conditions(known: Stored | undefined): Record<string, string> {
  if (!known) return {};
  const { etag, lastModified } = known;
  return { ...(etag && { "if-none-match": etag }), ...(lastModified && { "if-modified-since": lastModified }) };
}

function algorithmOf(checksum: string): string {
  return checksum.slice(0, checksum.indexOf(":"));
}

function compare(url: URL, checksum: string | undefined, found: string): void {
  if (checksum?.slice(checksum.indexOf(":") + 1).toLowerCase() === found) return;
  const algorithm = algorithmOf(checksum ?? "");
  throw new NetworkError(`${shownUrl(url)} is not what --checksum says: it is ${algorithm}:${found}`, {
    hint: "If that is what it should be, write it into the Dockerfile.",
  });
}
