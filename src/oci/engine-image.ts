import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, type Dispatcher, request } from "undici";
import { ImageError, ImageNotFoundError, NetworkError } from "../errors.js";
import { acquireLock, explainingNoSpace, home, sweepPartials } from "../store/index.js";
import { openArchive } from "./archive-tree.js";
import { type EngineKind, engineHint, engineSocket } from "./engine-socket.js";
import type { FileTree } from "./file-tree.js";
import { openTree } from "./open-tree.js";
import type { ImageOrigin } from "./origin.js";
import { formatReference } from "./reference.js";
import type { EngineSource } from "./source.js";

const CONNECT_MS = 10_000;
/** An engine packs layers before it sends the first byte, which takes a while for large ones. */
const STALL_MS = 300_000;
const MAX_ARCHIVE_BYTES = 64 * 1024 ** 3;

/**
 * Opens an image in a local container engine, which is asked for what its `save` writes. The archive is a file without a
 * name while it is read: it is gone when the image is disposed of, or the process ends.
 * @throws ImageNotFoundError, NetworkError, ImageError, UsageError
 */
export async function openEngineImage(source: EngineSource, name: string, signal?: AbortSignal): Promise<ImageOrigin> {
  const socketPath = engineSocket(source.kind);
  const folder = join(home().blobs, "engine");
  await mkdir(folder, { recursive: true });
  await sweepPartials(folder);
  const path = join(folder, `${randomUUID()}.tar`);
  await using _lock = await acquireLock(`${path}.lock`, signal);
  const partial = `${path}.partial`;
  let tree: FileTree;
  try {
    await explainingNoSpace(path, () => save(source, socketPath, partial, name, signal));
    tree = await openArchive(partial, name, signal);
  } finally {
    await rm(partial, { force: true });
  }
  return await openTree(tree, { kind: "oci-archive", path }, signal);
}

async function save(
  source: EngineSource,
  socketPath: string,
  to: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const timeouts = { headersTimeout: STALL_MS, bodyTimeout: STALL_MS };
  const agent = new Agent({ connect: { socketPath, timeout: CONNECT_MS }, ...timeouts });
  try {
    const body = await get(namesOf(source), agent, source.kind, name, signal);
    await pipeline([body, bounded(name), createWriteStream(to)], signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw engineError(error as NodeJS.ErrnoException, source.kind, socketPath, name);
  } finally {
    await agent.destroy();
  }
}

/** Asks for the archive under one name after the other. */
async function get(
  names: readonly string[],
  agent: Agent,
  kind: EngineKind,
  name: string,
  signal: AbortSignal | undefined,
): Promise<Dispatcher.ResponseData["body"]> {
  for (const candidate of names) {
    // The host name means nothing on a socket, but HTTP wants one.
    const url = `http://localhost/images/${candidate}/get`;
    const { statusCode, body } = await request(url, { dispatcher: agent, ...(signal === undefined ? {} : { signal }) });
    if (statusCode === 200) return body;
    await body.dump();
    if (statusCode !== 404) throw new NetworkError(`${name} cannot be read: ${kind} answered ${statusCode}`);
  }
  throw new ImageNotFoundError(`${name}: ${kind} has no such image`, { hint: `See what it has: ${kind} images` });
}

/** What podman built itself it calls `localhost/NAME`. */
function namesOf({ kind, image }: EngineSource): string[] {
  if ("id" in image) return [image.id];
  const { reference } = image;
  const names = [formatReference(reference)];
  if (kind === "podman" && reference.registry === "docker.io") {
    const repository = reference.repository.replace(/^library\//, "");
    names.push(formatReference({ ...reference, registry: "localhost", repository }));
  }
  return names;
}

function bounded(name: string): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      bytes += chunk.length;
      const isTooLarge = bytes > MAX_ARCHIVE_BYTES;
      callback(isTooLarge ? new ImageError(`${name} is larger than ${MAX_ARCHIVE_BYTES} bytes`) : null, chunk);
    },
  });
}

function engineError(error: NodeJS.ErrnoException, kind: EngineKind, socketPath: string, name: string): Error {
  const code = error.code ?? "";
  if (code.startsWith("ERR_SUPERMACHINE_")) return error;
  const hint =
    code === "EACCES" ? `You may not use ${socketPath}; docker's is for the group docker.` : engineHint(kind);
  return new NetworkError(`${name} cannot be read from ${kind} at ${socketPath}: ${code || error.message}`, {
    cause: error,
    hint,
  });
}
