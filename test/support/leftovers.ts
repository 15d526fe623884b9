import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { home } from "../../src/index.js";

/** Process ids of the hypervisors that run out of this test home. */
export function workers(): number[] {
  const found: number[] = [];
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    const args = commandLine(name);
    if (args[0]?.includes("qemu-system") && args.some((arg) => arg.includes(home().root))) found.push(Number(name));
  }
  return found;
}

/**
 * Waits until no worker is left, and gives those that are, having said whose they are. The kernel needs a moment to take a killed
 * process away.
 */
export async function remainingWorkers(): Promise<number[]> {
  for (const end = Date.now() + 60_000; workers().length > 0 && Date.now() < end; ) await sleep(20);
  const remaining = workers();
  for (const pid of remaining) console.error(`still there: ${pid}, of ${ancestors(pid).join(", of ")}`);
  return remaining;
}

/**
 * Everything in the stores that is half-made or left behind, as paths relative to the home folder. Links are not followed: the
 * assets that homes share are locked now and then by the tests of another.
 */
export function litter(): string[] {
  const { root } = home();
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const paths = entries.map(({ parentPath, name }) => relative(root, join(parentPath, name)));
  return paths.filter((path) => /\.(partial|lock|ram)$|(^|\/)run\/./.test(path));
}

/** Descriptors that this process has open. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** The command lines of those that started a process, the nearest first. */
function ancestors(pid: number): string[] {
  const parent = Number(/^PPid:\t(\d+)/m.exec(statusOf(pid))?.[1] ?? 0);
  return parent > 1 ? [`${parent} ${commandLine(String(parent)).join(" ")}`, ...ancestors(parent)] : [];
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // It ended meanwhile.
    return [];
  }
}
