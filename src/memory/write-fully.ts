import type { FileHandle } from "node:fs/promises";

/** One write takes less than 2 GiB. */
const MOST_AT_ONCE = 1 << 30;

/** Writes all of `bytes`. A full disk cuts a single write short and only fails the next one. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, MOST_AT_ONCE);
    const { bytesWritten } = await file.write(bytes, done, length, position + done);
    done += bytesWritten;
  }
}
