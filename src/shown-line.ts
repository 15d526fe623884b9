import { stripVTControlCharacters } from "node:util";

/** Control characters but the tab, what separates lines, and what turns the direction of writing. */
const NOT_SHOWN = /[^\P{Cc}\t]|[\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * A line that a stranger has written, such as a guest's command, as it may be shown on a terminal: without control sequences, and without what
 * a carriage return would draw over.
 */
export function shownLine(line: string): string {
  const whole = line.replace(/\r+$/, "");
  return stripVTControlCharacters(whole.slice(whole.lastIndexOf("\r") + 1)).replace(NOT_SHOWN, "");
}
