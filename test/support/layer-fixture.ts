import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { ImageError } from "../../src/errors.js";
import { type ConvertedLayer, type ConvertOptions, convertLayer, type LayerSource } from "../../src/rootfs/index.js";
import { readErofs } from "./erofs-reader.js";
import type { Listing } from "./tree-listing.js";

/** A temporary folder that goes away with `using`. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), "supermachine-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Gives bytes in pieces of a size that matters to what is tested. */
export function inPieces(bytes: Buffer, size = 64 * 1024): Readable {
  return Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    })(),
    { objectMode: false },
  );
}

/** An archive's image, checked by `fsck.erofs`, and what is in it. */
export async function convertToListing(
  archive: Buffer,
  options: Partial<ConvertOptions> & { packed?: Buffer; pieceSize?: number; fsck?: boolean } = {},
): Promise<ConvertedLayer & { listing: Listing }> {
  using folder = temporaryFolder();
  const output = join(folder.path, "layer.erofs");
  const blob = options.packed ?? archive;
  const converted = await convertLayer(inPieces(blob, options.pieceSize), {
    blobDigest: sha256(blob),
    diffId: sha256(archive),
    output,
    ...options,
  });
  if (options.fsck !== false) fsck(output);
  return { ...converted, listing: readErofs(output) };
}

/** The message of the ImageError that a conversion fails with. Throws if it does not, or leaves anything on disk. */
export async function conversionFailure(source: LayerSource, options: Omit<ConvertOptions, "output">): Promise<string> {
  using folder = temporaryFolder();
  const converting = convertLayer(source, { ...options, output: join(folder.path, "layer.erofs") });
  const outcome: unknown = await converting.then(
    () => new Error("The layer was converted"),
    (error: unknown) => error,
  );
  if (!(outcome instanceof ImageError)) throw outcome;
  const left = readdirSync(folder.path);
  if (left.length > 0) throw new Error(`The conversion left ${left.join(", ")}`);
  return outcome.message;
}

/** @throws when `fsck.erofs` (Debian's erofs-utils) finds anything wrong. */
export function fsck(image: string): void {
  execFileSync("fsck.erofs", [image], { stdio: "pipe" });
}
