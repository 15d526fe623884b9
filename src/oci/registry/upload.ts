import { Readable } from "node:stream";
import { ImageError } from "../../errors.js";
import type { BlobOutcome, OutgoingBlob, PutOptions } from "../target.js";
import { verified } from "../verified-stream.js";
import { Backoff } from "./backoff.js";
import type { Endpoint } from "./endpoint.js";
import { HttpFailure, isTransient, UploadStalled } from "./http-failure.js";
import { targetOf } from "./redirects.js";
import type { HttpRequest, HttpResponse } from "./transport.js";

/** A registry reads a blob once more before it answers. A slow one does that at this rate. */
const COMMIT_BYTES_PER_MS = 10_000;
/** An upload that got on by as much since it last broke is going well: its failures are counted anew. */
const PROGRESS_BYTES = 64 * 1024;
const BINARY = { "content-type": "application/octet-stream" };

interface Upload extends PutOptions {
  endpoint: Endpoint;
  blob: OutgoingBlob;
  what: string;
  /** Repository of the same registry that may have the blob. */
  mountFrom: string | undefined;
  /** Where the registry wants the bytes; `undefined` before it was asked, and when it has forgotten the upload. */
  location: URL | undefined;
  /** Bytes that the registry has. */
  offset: number;
  /** Why the source gave no more bytes. */
  sourceFailure: { error: unknown } | undefined;
}

/**
 * Puts a blob into a repository, unless it is there (distribution specification 1.1, "Pushing blobs"): taken over from
 * another repository where the registry can, else in one request. What broke off is gone on with where the registry kept the
 * beginning, and sent anew elsewhere.
 * @throws RegistryAuthError, RegistryUnreachableError, ImageNotFoundError, ImageError, and what reading the blob throws
 */
export async function uploadBlob(
  endpoint: Endpoint,
  blob: OutgoingBlob,
  what: string,
  options: PutOptions & { mountFrom?: string | undefined } = {},
): Promise<BlobOutcome> {
  const { signal, onBytes, mountFrom } = options;
  const start = { location: undefined, offset: 0, sourceFailure: undefined };
  const upload: Upload = { endpoint, blob, what, mountFrom, signal, ...(onBytes && { onBytes }), ...start };
  const backoff = new Backoff(endpoint.transport.limits, signal);
  for (;;) {
    const before = upload.offset;
    try {
      return await attempt(upload);
    } catch (error) {
      signal?.throwIfAborted();
      if (upload.sourceFailure) throw upload.sourceFailure.error;
      if (upload.offset - before >= PROGRESS_BYTES) backoff.reset();
      await backoff.after(error).catch(async (final: unknown) => {
        signal?.throwIfAborted();
        throw await endpoint.explainPush(final, what);
      });
    }
  }
}

async function attempt(upload: Upload): Promise<BlobOutcome> {
  // After a failure too: the bytes may have arrived, and only the answer been lost.
  if (await isPresent(upload)) return "present";
  await resume(upload);
  if (upload.location === undefined && (await begin(upload))) return "mounted";
  if (upload.offset === 0) await sendWhole(upload);
  else await sendRest(upload);
  return "pushed";
}

async function isPresent({ endpoint, blob, signal }: Upload): Promise<boolean> {
  const request = { method: "HEAD" as const, signal, accept: [200, 404, 405] };
  const { status, body } = await endpoint.send(`blobs/${blob.digest}`, request);
  await body.dump();
  return status === 200;
}

/** Asks for an upload; true when the registry had the blob elsewhere and has it here now. */
async function begin(upload: Upload): Promise<boolean> {
  const { endpoint, blob, mountFrom, signal } = upload;
  const query = mountFrom === undefined ? "" : `?${new URLSearchParams({ mount: blob.digest, from: mountFrom })}`;
  const request = { method: "POST" as const, body: "", signal, accept: [201, 202] };
  const response = await endpoint.send(`blobs/uploads/${query}`, request);
  await response.body.dump();
  if (response.status === 201) return true;
  upload.location = locationOf(response);
  upload.offset = 0;
  if (upload.location !== undefined) return false;
  throw new ImageError(`${upload.what} cannot be pushed: ${response.url.host} does not say where to`);
}

/** Asks how much of an upload that broke off is there. A registry may not know, or may have given it up. */
async function resume(upload: Upload): Promise<void> {
  const { endpoint, blob, location, signal } = upload;
  if (location === undefined) return;
  upload.location = undefined;
  upload.offset = 0;
  try {
    const response = await endpoint.sendTo(location, { signal, accept: [204] });
    await response.body.dump();
    const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(String(response.headers.range))?.[1] ?? Number.NaN);
    if (!(last > 0 && last < blob.size)) return;
    upload.location = locationOf(response) ?? location;
    upload.offset = last + 1;
  } catch (error) {
    if (!(error instanceof HttpFailure) || isTransient(error)) throw error;
  }
}

async function sendWhole(upload: Upload): Promise<void> {
  const { size } = upload.blob;
  const headers = { ...BINARY, "content-length": String(size) };
  await transfer(upload, { method: "PUT", headers }, closing(upload), [200, 201, 204]);
}

async function sendRest(upload: Upload): Promise<void> {
  const { blob, endpoint, offset, signal } = upload;
  if (offset < blob.size) {
    const headers = {
      ...BINARY,
      "content-length": String(blob.size - offset),
      "content-range": `${offset}-${blob.size - 1}`,
    };
    const response = await transfer(upload, { method: "PATCH", headers }, placeOf(upload), [202, 204]);
    upload.location = locationOf(response) ?? upload.location;
    upload.offset = blob.size;
  }
  const request = { method: "PUT" as const, body: "", headers: BINARY, signal, answerMs: answerMs(upload) };
  const { body } = await endpoint.sendTo(closing(upload), { ...request, accept: [200, 201, 204] });
  await body.dump();
}

/** Sends the blob from the upload's offset on. */
async function transfer(upload: Upload, request: HttpRequest, url: URL, accept: number[]): Promise<HttpResponse> {
  const { endpoint, signal } = upload;
  using watch = watchdog(endpoint.transport.limits.stallMs);
  const either = signal === undefined ? watch.signal : AbortSignal.any([signal, watch.signal]);
  const body = async () => {
    watch.reset();
    return Readable.from(bytesOf(upload, either, watch), { objectMode: false, highWaterMark: 256 * 1024 });
  };
  const options = { ...request, body, signal: either, accept, answerMs: answerMs(upload) };
  const response = await endpoint.sendTo(url, options);
  await response.body.dump();
  return response;
}

async function* bytesOf(upload: Upload, signal: AbortSignal, watch: Watchdog): AsyncGenerator<Buffer> {
  const { offset, onBytes } = upload;
  let position = 0;
  try {
    for await (const chunk of sourceOf(upload, signal)) {
      const known = Math.min(Math.max(offset - position, 0), chunk.length);
      position += chunk.length;
      watch.reset();
      if (known < chunk.length) yield known === 0 ? chunk : chunk.subarray(known);
      watch.reset();
      onBytes?.(position);
    }
  } finally {
    // From here on the registry is busy, and its answer has a time limit of its own.
    watch.stop();
  }
}

/** A connection that breaks is thrown into {@link bytesOf}, but not in here: what fails here is the source. */
async function* sourceOf(upload: Upload, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { blob, what } = upload;
  try {
    yield* verified(await blob.open(signal), blob, what);
  } catch (error) {
    if (!signal.aborted) upload.sourceFailure = { error };
    throw error;
  }
}

interface Watchdog extends Disposable {
  signal: AbortSignal;
  reset(): void;
  stop(): void;
}

/** Aborts when it was not reset for so long. */
function watchdog(limitMs: number): Watchdog {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const stop = () => clearTimeout(timer);
  const bark = () => controller.abort(new UploadStalled(`nothing was taken for ${limitMs} ms`));
  return {
    signal: controller.signal,
    reset() {
      stop();
      timer = setTimeout(bark, limitMs);
    },
    stop,
    [Symbol.dispose]: stop,
  };
}

function answerMs({ endpoint, blob }: Upload): number {
  return endpoint.transport.limits.stallMs + Math.ceil(blob.size / COMMIT_BYTES_PER_MS);
}

/** The digest is appended as text: a query that was signed must stay as it is. */
function closing(upload: Upload): URL {
  const { href, search } = placeOf(upload);
  return new URL(`${href}${search === "" ? "?" : "&"}digest=${encodeURIComponent(upload.blob.digest)}`);
}

function placeOf({ location, what }: Upload): URL {
  if (location === undefined) throw new ImageError(`${what} cannot be pushed: the upload has no place`);
  return location;
}

/** It may be relative, and may be elsewhere. */
function locationOf({ headers, url }: HttpResponse): URL | undefined {
  return headers.location === undefined ? undefined : targetOf(headers.location, url);
}
