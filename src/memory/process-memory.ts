import { readSync, writeSync } from "node:fs";
import { VmError } from "../errors.js";

/** One read or write takes less than 2 GiB. */
const MOST_AT_ONCE = 2 ** 30;

/** Fills `bytes` of a buffer from a file below `/proc/PID`. @throws VmError when the process has ended, which reads as an empty file */
export function readFully(file: number, into: Buffer, at: number, bytes: number, position: number): void {
  for (let done = 0; done < bytes; ) {
    const count = readSync(file, into, at + done, Math.min(bytes - done, MOST_AT_ONCE), position + done);
    if (count === 0) throw new VmError("the guest ended while its memory was read");
    done += count;
  }
}

/** Writes `bytes` of a buffer to `/proc/PID/mem`. @throws VmError when the process has ended, to which nothing is written without an error */
export function writeFully(file: number, from: Buffer, at: number, bytes: number, position: number): void {
  for (let done = 0; done < bytes; ) {
    const count = writeSync(file, from, at + done, Math.min(bytes - done, MOST_AT_ONCE), position + done);
    if (count === 0) throw new VmError("the guest ended while its memory was written");
    done += count;
  }
}
