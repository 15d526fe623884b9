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
const SPECIAL: Readonly<Record<string, number>> = { us: 0o4000, gs: 0o2000 };

/** Parses `755`, `u=rwX,go=rX` and the like. @throws UsageError */
export function parseMode(text: string): ModeChange {
  if (/^0*[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  return text.split(",").flatMap((clause) => {
    const [, who = "", rest = ""] = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause) ?? [];
    const parts = [...rest.matchAll(/([-+=])([rwxXstugo]*)/g)];
    if (parts.length === 0) {
      throw new UsageError(`${JSON.stringify(text)} is no mode for --chmod`, { hint: "Write 755 or u=rwX,go=rX." });
    }
    return parts.map(([, operator = "", what = ""]) => ({ who: /a|^$/.test(who) ? "ugo" : who, operator, what }));
  });
}

/** The permission bits of a file after the change. */
export function changeMode({ mode, type }: TreeNode, change: ModeChange): number {
  if (typeof change === "number") return change;
  return change.reduce((bits, clause) => applyClause(bits, clause, type === "directory"), mode);
}

function applyClause(bits: number, { who, operator, what }: Clause, isDirectory: boolean): number {
  const mayRun = isDirectory || (bits & 0o111) !== 0;
  const given = [...who].reduce(
    (sum, each) => sum | bitsFor(each, what, bits, mayRun),
    what.includes("t") ? 0o1000 : 0,
  );
  if (operator === "-") return bits & ~given;
  if (operator === "+") return bits | given;
  // A folder keeps its setuid and setgid bits, as chmod(1) has it.
  const special = [...who].reduce((sum, each) => sum | (SPECIAL[`${each}s`] ?? 0), who === "ugo" ? 0o1000 : 0);
  const cleared = [...who].reduce((sum, each) => sum | (7 << (SHIFT[each] ?? 0)), isDirectory ? 0 : special);
  return (bits & ~cleared) | given;
}

/** The bits that the letters give to a user, a group or others. */
function bitsFor(who: string, what: string, bits: number, mayRun: boolean): number {
  const shift = SHIFT[who] ?? 0;
  let given = 0;
  for (const letter of what) {
    const from = SHIFT[letter];
    if (from !== undefined) given |= ((bits >> from) & 7) << shift;
    else if (letter === "s") given |= SPECIAL[`${who}s`] ?? 0;
    else given |= (letter === "X" ? Number(mayRun) : (BITS[letter] ?? 0)) << shift;
  }
  return given;
}
