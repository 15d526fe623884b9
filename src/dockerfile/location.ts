import { DockerfileError } from "../errors.js";

/** More of a line than fits on a screen is not shown. */
const MAX_SHOWN = 160;
const MAX_MESSAGE = 500;

/** Where something is in a Dockerfile. Lines and columns count from 1; a column counts UTF-16 units, as editors do. */
export interface Location {
  file: string;
  line: number;
  column: number;
  /** The last line of the instruction, its heredocs included. */
  endLine: number;
  /** The lines from `line` to `endLine` as they are in the file. */
  lines: readonly string[];
}

/** Makes the error that shows a place: the message, then the line with a mark under the column. */
export function dockerfileError(at: Location, message: string, hint?: string, cause?: unknown): DockerfileError {
  const { file, line, column } = at;
  const text = `${file}:${line}:${column}: ${printable(message)}\n${excerpt(at)}`;
  const extra = { ...(hint === undefined ? {} : { hint }), ...(cause === undefined ? {} : { cause }) };
  return new DockerfileError(text, { file, line, column, ...extra });
}

/**
 * The place of a word in an instruction, or the instruction's own when the word is not found as it stands, such as one that
 * a line continuation cuts in two.
 */
export function locateWord(at: Location, word: string): Location {
  if (word === "") return at;
  for (const [index, text] of at.lines.entries()) {
    const from = index === 0 ? at.column - 1 : 0;
    const found = text.indexOf(word, from);
    if (found >= 0) return { ...at, line: at.line + index, column: found + 1, lines: at.lines.slice(index) };
  }
  return at;
}

/** What a stranger's file says may have control characters, and no end. */
function printable(text: string): string {
  const clean = text.slice(0, MAX_MESSAGE).replace(/\p{C}/gu, "?");
  return text.length > MAX_MESSAGE ? `${clean}...` : clean;
}

/** The line with a mark under the column. */
export function excerpt({ line, column, lines }: Location): string {
  const number = String(line);
  const whole = lines[0] ?? "";
  // A column far to the right is shown with what is before it cut off.
  const from = column > MAX_SHOWN ? column - MAX_SHOWN / 2 : 0;
  const shown = whole
    .slice(from, from + MAX_SHOWN)
    .replace(/\t/g, " ")
    .replace(/\p{C}/gu, "?");
  const margin = " ".repeat(number.length);
  return `  ${number} | ${shown}\n  ${margin} | ${" ".repeat(Math.max(0, column - 1 - from))}^`;
}
