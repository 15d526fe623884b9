import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryLock } from "fs-native-extensions";
import { UsageError } from "../errors.js";
import { home } from "../store/index.js";

/** Far beyond the bytes that QEMU locks for itself, and beyond any content. */
const LOCKED_BYTE = 2 ** 50;

const NOTE = "volume-";

export type Use = "read" | "write";

/**
 * The right to use a volume's file: many may read, or one write. It is a kernel lock, so it ends with this process however that ends; QEMU
 * has one more of its own.
 * @throws UsageError that names who has it
 */
export function lockImage(path: string, use: Use, label: string): Disposable {
  const fd = openSync(path, use === "write" ? "r+" : "r");
  const { dev, ino } = statSync(path);
  const folder = home().run;
  const holders = `${NOTE}${dev}-${ino}.`;
  if (!tryLock(fd, LOCKED_BYTE, 1, { shared: use === "read" })) {
    closeSync(fd);
    const pids = alive(folder, holders);
    const who = pids.length > 0 ? `process ${pids.join(", ")}` : "another process";
    throw new UsageError(`the volume ${label} is in use by ${who}`, {
      hint: "One VM can write to a volume, or many only read it. Stop the other one, or give both the volume as read-only.",
    });
  }
  // Only for the message above: the lock is what counts.
  mkdirSync(folder, { recursive: true });
  sweepNotes(folder);
  const note = join(folder, `${holders}${process.pid}.${fd}`);
  writeFileSync(note, "");
  return {
    [Symbol.dispose]() {
      rmSync(note, { force: true });
      closeSync(fd);
    },
  };
}

/** Processes that noted that they have it. */
function alive(folder: string, holders: string): number[] {
  const names = readNames(folder).filter((name) => name.startsWith(holders));
  return [...new Set(names.map(pidOf).filter(isRunning))];
}

/** Removes what processes noted that have ended without an end. */
function sweepNotes(folder: string): void {
  const notes = readNames(folder).filter((name) => name.startsWith(NOTE));
  for (const name of notes) if (!isRunning(pidOf(name))) rmSync(join(folder, name), { force: true });
}

/** `volume-DEV-INO.PID.FD` */
function pidOf(name: string): number {
  return Number(name.split(".")[1]);
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
