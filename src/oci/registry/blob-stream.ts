import { Readable } from "node:stream";
import { ImageError } from "../../errors.js";
import { log } from "../../log.js";
import type { Descriptor } from "../documents.js";
import type { OnRetry } from "../origin.js";
import { Backoff } from "./backoff.js";
import type { Endpoint } from "./endpoint.js";
import { PrematureEnd, reasonOf } from "./http-failure.js";
import type { HttpResponse } from "./transport.js";

/** A download that got on by as much since it last broke is going well: its failures are counted anew. */
const PROGRESS_BYTES = 64 * 1024;

/** What is downloaded, and how far that has come. */
interface Download {
  descriptor: Descriptor;
  what: string;
  signal: AbortSignal;
  onRetry: OnRetry | undefined;
  /** Bytes that the reader has got. */
  delivered: number;
  /** Strong entity tag of what the bytes so far are of. */
  etag: string | undefined;
  /** The server said that it has not the range that was asked for. */
  fromStart: boolean;
}

/**
 * Streams a blob from the first of several places that has it. A broken connection is mended by asking for the rest, so that
 * the reader sees one stream; its bytes are not verified here.
 * @throws ImageNotFoundError, RegistryAuthError, RegistryUnreachableError, ImageError before there is a stream
 */
export async function openBlob(
  endpoints: readonly Endpoint[],
  descriptor: Descriptor,
  what: string,
  signal?: AbortSignal,
  onRetry?: OnRetry,
): Promise<Readable> {
  const closed = new AbortController();
  const either = signal === undefined ? closed.signal : AbortSignal.any([signal, closed.signal]);
  const download = { descriptor, what, signal: either, onRetry, delivered: 0, etag: undefined, fromStart: false };
  const chunks = downloadFrom(endpoints, download);
  try {
    // The first bytes are waited for, so that what is missing is reported at once.
    return readableOf(chunks, await chunks.next(), closed);
  } catch (error) {
    closed.abort();
    throw error;
  }
}

/** Unlike `Readable.from`, it does not wait for a silent server when it is destroyed. */
function readableOf(chunks: AsyncGenerator<Buffer>, first: IteratorResult<Buffer>, closed: AbortController): Readable {
  let waiting: IteratorResult<Buffer> | undefined = first;
  const next = async () => {
    const { done, value } = waiting ?? (await chunks.next());
    waiting = undefined;
    return done ? null : value;
  };
  return new Readable({
    highWaterMark: 256 * 1024,
    read() {
      next().then(
        (chunk) => this.push(chunk),
        (error) => this.destroy(error),
      );
    },
    destroy(error, callback) {
      closed.abort();
      // Lets go of the connection also where nobody waits for its next bytes.
      chunks.return(undefined).catch(() => undefined);
      callback(error);
    },
  });
}

/** Where one place fails, the next one goes on from there. */
async function* downloadFrom(endpoints: readonly Endpoint[], download: Download): AsyncGenerator<Buffer> {
  for (const [i, endpoint] of endpoints.entries()) {
    try {
      return yield* downloadFromOne(endpoint, download);
    } catch (error) {
      download.signal.throwIfAborted();
      if (i === endpoints.length - 1) throw await endpoint.explain(error, download.what);
      log("warn", "registry", `${endpoint.site.host} does not give ${download.what}: ${reasonOf(error)}`);
      download.etag = undefined;
      download.fromStart = false;
    }
  }
}

async function* downloadFromOne(endpoint: Endpoint, download: Download): AsyncGenerator<Buffer> {
  const backoff = new Backoff(endpoint.transport.limits, download.signal, download.onRetry);
  for (;;) {
    const before = download.delivered;
    try {
      return yield* receive(await request(endpoint, download), download);
    } catch (error) {
      if (download.delivered - before >= PROGRESS_BYTES) backoff.reset();
      await backoff.after(error);
    }
  }
}

function request(
  endpoint: Endpoint,
  { descriptor, signal, delivered, etag, fromStart }: Download,
): Promise<HttpResponse> {
  const path = `blobs/${descriptor.digest}`;
  if (delivered === 0 || fromStart) return endpoint.send(path, { signal });
  const headers = { range: `bytes=${delivered}-`, ...(etag === undefined ? {} : { "if-range": etag }) };
  return endpoint.send(path, { signal, headers, accept: [200, 206, 416] });
}

/** Gives the bytes of an answer that the reader has not had yet. */
async function* receive(response: HttpResponse, download: Download): AsyncGenerator<Buffer> {
  const { body } = response;
  try {
    let position = startOf(response, download);
    download.etag ??= strongTag(response.headers.etag);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const known = Math.min(Math.max(download.delivered - position, 0), chunk.length);
      position += chunk.length;
      if (position > download.descriptor.size) throw wrongSize(download, `more than ${download.descriptor.size}`);
      if (known === chunk.length) continue;
      download.delivered = position;
      yield known === 0 ? chunk : chunk.subarray(known);
    }
    if (position === download.descriptor.size) return;
    throw new PrematureEnd(`it ended after ${position} of ${download.descriptor.size} bytes`);
  } finally {
    body.destroy();
  }
}

/** The position of the answer's first byte in the blob. What a server that knows no ranges sends again is skipped. */
function startOf({ status, headers }: HttpResponse, download: Download): number {
  const { size } = download.descriptor;
  if (status === 200) {
    const length = headers["content-length"];
    if (length !== undefined && Number(length) !== size) throw wrongSize(download, length);
    return 0;
  }
  const range = status === 206 ? /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers["content-range"] ?? "") : null;
  const [, first, last, total] = range ?? [];
  if (total !== undefined && total !== "*" && Number(total) !== size) throw wrongSize(download, total);
  const start = Number(first);
  if (range !== null && start <= download.delivered && Number(last) < size) return start;
  download.fromStart = true;
  throw new PrematureEnd(`the server has not the range from byte ${download.delivered}`);
}

function wrongSize({ what, descriptor }: Download, actual: string): ImageError {
  return new ImageError(`${what} has ${actual} bytes instead of ${descriptor.size}`, {
    hint: "The registry's manifest is wrong, or something on the way to it gives wrong content.",
  });
}

/** A weak tag says nothing about bytes (RFC 9110, section 13.1.5). */
function strongTag(etag: string | undefined): string | undefined {
  return etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag) ? etag : undefined;
}
