import { ImageError } from "../../errors.js";
import { type Digest, digestOf, isDigest, splitDigest } from "../digest.js";
import { type Descriptor, documentType } from "../documents.js";
import { DOCKER_LIST, DOCKER_MANIFEST, isIndex, isManifest, OCI_INDEX, OCI_MANIFEST } from "../media-types.js";
import { MAX_DOCUMENT_BYTES } from "../parse-document.js";
import type { Endpoint } from "./endpoint.js";
import { HttpFailure, PrematureEnd } from "./http-failure.js";
import type { HttpResponse } from "./transport.js";

const ACCEPT = { accept: [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ") };
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;
const DIGEST_HEADER = "docker-content-digest";

/** A document with its descriptor, which it was compared with. */
export interface VerifiedDocument {
  descriptor: Descriptor & { digest: Digest };
  bytes: Buffer;
}

/** The digest that a tag has now, or `undefined` where the registry does not tell it without the manifest. */
export async function headManifest(
  endpoint: Endpoint,
  tagOrDigest: string,
  what: string,
  signal?: AbortSignal,
): Promise<Digest | undefined> {
  const request = { method: "HEAD" as const, headers: ACCEPT, signal, accept: [200, 400, 404, 405, 501] };
  return endpoint.exchange(`manifests/${tagOrDigest}`, request, what, async ({ status, headers, body, url }) => {
    await body.dump();
    if (status === 404) throw new HttpFailure({ status, headers, url }, undefined);
    const digest = String(headers[DIGEST_HEADER] ?? "");
    return status === 200 && isDigest(digest) ? digest : undefined;
  });
}

/** Fetches a manifest or index by tag or digest, and verifies it. */
export function fetchManifest(
  endpoint: Endpoint,
  tagOrDigest: string,
  what: string,
  signal?: AbortSignal,
): Promise<VerifiedDocument> {
  return endpoint.exchange(`manifests/${tagOrDigest}`, { headers: ACCEPT, signal }, what, async (response) => {
    const { headers } = response;
    const bytes = await readBounded(response, MAX_DOCUMENT_BYTES, what);
    if (SCHEMA_1.test(String(headers["content-type"]))) throw schema1(what);
    const wanted = isDigest(tagOrDigest) ? tagOrDigest : undefined;
    const digest = verify(bytes, wanted, String(headers[DIGEST_HEADER] ?? ""), what);
    if (isSchema1(bytes)) throw schema1(what);
    const mediaType = documentType(bytes, what);
    if (!isManifest(mediaType) && !isIndex(mediaType)) {
      throw new ImageError(`${what} is not an image: its manifest is of the media type ${mediaType}`);
    }
    return { descriptor: { mediaType, digest, size: bytes.length }, bytes };
  });
}

/** Fetches a config, or another small blob, and verifies it. */
export function fetchSmallBlob(
  endpoint: Endpoint,
  descriptor: Descriptor & { digest: Digest },
  what: string,
  signal?: AbortSignal,
): Promise<VerifiedDocument> {
  return endpoint.exchange(`blobs/${descriptor.digest}`, { signal }, what, async (response) => {
    const bytes = await readBounded(response, Math.min(descriptor.size, MAX_DOCUMENT_BYTES), what);
    verify(bytes, descriptor.digest, "", what);
    return { descriptor, bytes };
  });
}

/** What the header says of the length is believed only when it is too much. */
async function readBounded({ body, headers }: HttpResponse, limit: number, what: string): Promise<Buffer> {
  const announced = Number(headers["content-length"] ?? 0);
  const chunks: Buffer[] = [];
  let length = 0;
  if (announced > limit) {
    body.destroy();
    throw tooLong(what, limit);
  }
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw tooLong(what, limit);
    chunks.push(chunk);
  }
  if (length < announced) throw new PrematureEnd(`${what} ended after ${length} of ${announced} bytes`);
  return Buffer.concat(chunks, length);
}

function tooLong(what: string, limit: number): ImageError {
  return new ImageError(`${what} is longer than ${limit} bytes, which it must not be`, {
    hint: "The registry or something on the way to it gives wrong content.",
  });
}

/** By tag nothing but the registry's word, which the header has, can be compared with. */
function verify(bytes: Buffer, wanted: Digest | undefined, header: string, what: string): Digest {
  const told = isDigest(header) ? header : undefined;
  const expected = wanted ?? told;
  const { algorithm } = expected === undefined ? { algorithm: "sha256" as const } : splitDigest(expected);
  const actual = digestOf(bytes, algorithm);
  const isOther = told !== undefined && told !== digestOf(bytes, splitDigest(told).algorithm);
  if ((expected === undefined || actual === expected) && !isOther) return actual;
  throw new ImageError(`${what} has the wrong content: its digest is ${actual}, not ${isOther ? told : expected}`, {
    hint: "The registry or something on the way to it gives wrong content.",
  });
}

function isSchema1(bytes: Buffer): boolean {
  try {
    return JSON.parse(bytes.toString("utf8"))?.schemaVersion === 1;
  } catch {
    return false;
  }
}

function schema1(what: string): ImageError {
  return new ImageError(`${what} has a manifest of docker's schema 1, which is not supported`, {
    hint: "Push it again with a current tool, for instance skopeo copy --format oci.",
  });
}
