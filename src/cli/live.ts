import { setTimeout as sleep } from "node:timers/promises";
import { Interrupted, onInterrupt } from "./interrupt.js";

const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";
const HOME = "\u001b[H";
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

/**
 * Shows lines that change, until Ctrl-C, which is the way to leave: on a terminal in place, on a screen of their own; elsewhere one
 * after the other.
 */
export async function showLive(lines: () => Promise<string[]>, intervalMs: number): Promise<void> {
  const signal = onInterrupt();
  const { isTTY } = process.stdout;
  const leave = () => process.stdout.write(LEAVE);
  if (isTTY) {
    process.stdout.write(ENTER);
    process.on("exit", leave);
  }
  try {
    while (!signal.aborted) {
      const text = await lines();
      if (signal.aborted) break;
      process.stdout.write(isTTY ? screen(text) : `${text.join("\n")}\n`);
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    if (isTTY) {
      process.off("exit", leave);
      leave();
    }
  }
  // Only Ctrl-C is how one leaves; other signals are what they say.
  if (!(signal.reason instanceof Interrupted) || signal.reason.exitCode !== 130) throw signal.reason;
}

/** Nothing is cleared before it is written over, so that nothing flickers; what does not fit is left out. */
function screen(lines: readonly string[]): string {
  const { rows = 24, columns = 80 } = process.stdout;
  return `${HOME}${lines
    .slice(0, rows - 1)
    .map((line) => `${line.slice(0, columns - 1)}${CLEAR_LINE}\n`)
    .join("")}${CLEAR_BELOW}`;
}
