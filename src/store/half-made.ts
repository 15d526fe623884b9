import { closeSync, openSync, writeSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { home } from "./home.js";
import { openScratch, sweepScratch } from "./scratch.js";

const RECORD = "half";

/** Remembers what this process has half-made outside of the home folder, so that another one removes it should this one be killed. */
export interface HalfMade extends AsyncDisposable {
  /** It is at `path` from now on, and no longer where it was before. */
  at(path: string | Buffer): void;
}

/** A record, to be disposed of once nothing half-made is left. */
export async function trackHalfMade(): Promise<HalfMade> {
  const record = await openScratch(home().run, RECORD);
  const fd = openSync(record.path, "wx", 0o600);
  return {
    at(path) {
      // Behind the NUL may be the rest of a longer path.
      writeSync(fd, Buffer.concat([Buffer.from(path), Buffer.of(0)]), 0, null, 0);
    },
    async [Symbol.asyncDispose]() {
      closeSync(fd);
      await record[Symbol.asyncDispose]();
    },
  };
}

/** Removes what killed processes have left half-made wherever they were writing. */
export function sweepHalfMade(): Promise<void> {
  return sweepScratch(home().run, RECORD, async (record) => {
    const content = await readFile(record);
    const end = content.indexOf(0);
    if (end <= 0) return;
    // Where it is out of reach, by now or to this user, it stays.
    await rm(content.subarray(0, end), { recursive: true, force: true }).catch(() => undefined);
  });
}
