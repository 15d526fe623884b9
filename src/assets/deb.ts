import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AssetsError } from "../errors.js";
import { runProgram } from "./run-program.js";

const GLOBAL_MAGIC = "!<arch>\n";
const HEADER_BYTES = 60;

/**
 * Unpacks the files of a Debian package (an ar archive that holds `data.tar.xz`, deb(5)) below `folder`, without
 * installing it.
 */
export async function unpackDeb(
  deb: string,
  folder: string,
  members: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const data = await findData(deb);
  const input = createReadStream(deb, { start: data.offset, end: data.offset + data.size - 1 });
  const options = { input, ...(signal && { cancelSignal: signal }) };
  const decompress = data.name.endsWith(".zst") ? "--zstd" : "--xz";
  await runProgram(
    "tar",
    ["--extract", decompress, "--no-same-owner", "-f", "-", "-C", folder, ...members],
    options,
  ).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new AssetsError(`${deb} could not be unpacked`, { cause, hint: "tar and xz are needed for it." });
  });
}

async function findData(deb: string): Promise<{ name: string; offset: number; size: number }> {
  await using file = await open(deb, "r");
  if ((await text(file, 0, GLOBAL_MAGIC.length)) !== GLOBAL_MAGIC) throw new AssetsError(`${deb} is no Debian package`);
  const { size: total } = await file.stat();
  for (let at = GLOBAL_MAGIC.length; at + HEADER_BYTES <= total; ) {
    const header = await text(file, at, HEADER_BYTES);
    const name = header.slice(0, 16).trim().replace(/\/$/, "");
    const size = Number(header.slice(48, 58));
    // No member of a package is empty, and a size below 0 would let this go round for ever.
    if (!Number.isSafeInteger(size) || size <= 0) break;
    if (name.startsWith("data.tar")) return { name, offset: at + HEADER_BYTES, size };
    at += HEADER_BYTES + size + (size % 2);
  }
  throw new AssetsError(`${deb} holds no data.tar: the download is damaged`, {
    hint: "Run `supermachine setup` again.",
  });
}

async function text(file: FileHandle, position: number, bytes: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, position);
  return buffer.toString("latin1", 0, bytesRead);
}
