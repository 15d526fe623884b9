import type { FileHandle } from "node:fs/promises";
import { addAbortSignal, Readable } from "node:stream";
import { ImageError } from "../errors.js";

const CHUNK_BYTES = 256 * 1024;

/**
 * Streams `size` bytes of an open file from `offset`. Many streams may read one handle at the same time; the handle
 * stays open afterwards unless `close` says otherwise. A file that ends too early fails the stream with an ImageError.
 */
export function readRange(
  file: FileHandle,
  range: { offset: number; size: number; name: string },
  options: { signal?: AbortSignal | undefined; close?: boolean } = {},
): Readable {
  let position = range.offset;
  const end = range.offset + range.size;
  const stream = new Readable({
    highWaterMark: CHUNK_BYTES,
    read() {
      readChunk(file, position, end, range.name).then(
        (chunk) => {
          position += chunk?.length ?? 0;
          this.push(chunk);
        },
        (error) => this.destroy(error),
      );
    },
    destroy(error, callback) {
      if (!options.close) return callback(error);
      file.close().then(
        () => callback(error),
        (closing) => callback(error ?? closing),
      );
    },
  });
  return options.signal === undefined ? stream : addAbortSignal(options.signal, stream);
}

async function readChunk(file: FileHandle, position: number, end: number, name: string): Promise<Buffer | null> {
  if (position >= end) return null;
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end - position));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  if (bytesRead === 0) throw new ImageError(`${name} became shorter while it was read`);
  return buffer.subarray(0, bytesRead);
}
