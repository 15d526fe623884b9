import { UsageError } from "../../errors.js";
import type { TreeNode } from "../tree/index.js";

/** What `--chmod` says: permission bits, or changes of those that are there. */
export type ModeChange = number | readonly Clause[];

interface Clause {
  who: string;
  operator: string;
  what: string;
}

const SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };
const BITS: Readonly<Record<string, number>> = { r: 4, w: 2, x: 1 };

/** Parses `755`, `u=rwX,go=rX` and the like. @throws UsageError */
export function parseMode(text: string): ModeChange {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= 0o7777) return mode;
  }
  return text.split(",").flatMap((clause) => {
    const [, who = "", rest = ""] = /^([ugoa]*)((?:[-+=][rwxXst]*)+)$/.exec(clause) ?? [];
    const parts = [...rest.matchAll(/([-+=])([rwxXst]*)/g)];
    if (parts.length === 0) {
      throw new UsageError(`${JSON.stringify(text)} is no mode for --chmod`, { hint: "Write 755 or u=rwX,go=rX." });
    }
    return parts.map(([, operator = "", what = ""]) => ({ who: /a|^$/.test(who) ? "ugo" : who, operator, what }));
  });
}

/** The permission bits of a file after the change. */
export function changeMode({ mode, type }: TreeNode, change: ModeChange): number {
  if (typeof change === "number") return change;
  return change.reduce((bits, { who, operator, what }) => {
    const mayRun = type === "directory" || (bits & 0o111) !== 0;
    let [given, cleared] = [0, 0];
    for (const each of who) {
      const shift = SHIFT[each] ?? 0;
      cleared |= 7 << shift;
      for (const letter of what) given |= (letter === "X" ? (mayRun ? 1 : 0) : (BITS[letter] ?? 0)) << shift;
      if (what.includes("s") && each === "u") given |= 0o4000;
      if (what.includes("s") && each === "g") given |= 0o2000;
    }
    if (what.includes("t")) given |= 0o1000;
    if (operator === "-") return bits & ~given;
    return operator === "+" ? bits | given : (bits & ~cleared) | given;
  }, mode);
}
