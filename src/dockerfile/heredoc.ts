import { expandWord } from "./expand-word.js";
import { ExpansionError } from "./expansion-error.js";
import type { Heredoc } from "./instruction.js";

/** The start of a heredoc, before its content is read. */
export type HeredocStart = Omit<Heredoc, "content">;

const START = /^\d*<<(-?)([^<]+)$/;
const NO_VARIABLES: ReadonlyMap<string, string> = new Map();

/** The heredocs that begin in a line. A quote that is not closed is no mistake here: the shell has its own rules. */
export function heredocsOf(line: string): HeredocStart[] {
  if (!line.includes("<<")) return [];
  const words = unlessWrong(() => expandWord(line, NO_VARIABLES, { ...AS_WRITTEN, keepEscapes: true }).words) ?? [];
  return words.map(parseHeredocStart).filter((start) => start !== undefined);
}

/** Reads a word such as `<<EOF`, `<<-EOF` or `3<<"EOF"`; undefined when it is no such thing. */
export function parseHeredocStart(word: string): HeredocStart | undefined {
  const [, dash, rest] = START.exec(word) ?? [];
  if (rest === undefined) return undefined;
  const names = unlessWrong(() => expandWord(rest, NO_VARIABLES, { keepUnset: true, maxLength: rest.length }).words);
  const [name, ...more] = names ?? [];
  if (name === undefined || more.length > 0) return undefined;
  const written = expandWord(rest, NO_VARIABLES, AS_WRITTEN).text;
  return { name, stripTabs: dash === "-", expand: countQuotes(name) === countQuotes(written) };
}

/** What a heredoc holds when it is used: `<<-` takes the tabs from its lines. */
export function heredocContent({ content, stripTabs }: Heredoc): string {
  return stripTabs ? content.replace(/^\t+/gm, "") : content;
}

/** Whether a line ends a heredoc. */
export function endsHeredoc({ name, stripTabs }: HeredocStart, line: string): boolean {
  const text = line.replace(/\r$/, "");
  return (stripTabs ? text.replace(/^\t+/, "") : text) === name;
}

const AS_WRITTEN = { keepQuotes: true, keepUnset: true, maxLength: Number.POSITIVE_INFINITY };

function countQuotes(text: string): number {
  return text.replace(/[^'"]/g, "").length;
}

function unlessWrong<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof ExpansionError) return undefined;
    throw error;
  }
}
