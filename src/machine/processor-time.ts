import { readFile } from "node:fs/promises";

/** The kernel's unit of processor time in /proc, which is the same on all architectures that we run on. */
const TICKS_PER_SECOND = 100;

/** Processor time that a process has used, in milliseconds, to 10 ms; `undefined` where this host does not tell. */
export async function processorTime(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  // The name in parentheses may have spaces; what is counted comes after it.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  if (!fields) return undefined;
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? (ticks * 1_000) / TICKS_PER_SECOND : undefined;
}
