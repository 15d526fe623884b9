import { compileSegment, matchSegment, PatternError, type SegmentPattern } from "./glob.js";

/** More patterns than any `.dockerignore` has. */
const MAX_PATTERNS = 10_000;
const MAX_ALTERNATIVES = 64;
/** The kernel takes no longer path. */
const MAX_LENGTH = 4096;

/** `**` stands for any number of folders, none included. */
const ANY_FOLDERS = Symbol("**");
type Part = SegmentPattern | typeof ANY_FOLDERS;

/** A pattern is the path that any of its alternatives matches. */
interface Rule {
  isException: boolean;
  alternatives: Part[][];
}

/** Patterns as `.dockerignore` and `COPY --exclude` have them. Paths are relative, with slashes, without one at the end. */
export interface PathPatterns {
  /** Whether a path is left out: it or a folder above it matches, and no later exception does. */
  matches(path: string): boolean;
  /**
   * Whether anything below a folder that is left out may have to be taken all the same. If not, nobody needs to look into
   * the folder.
   */
  mayHaveExceptionsBelow(folder: string): boolean;
}

/**
 * Compiles patterns. The later one wins; `!` makes an exception. `#` is nothing special here: see {@link parseIgnoreFile}.
 * @throws PatternError
 */
export function compilePatterns(patterns: readonly string[]): PathPatterns {
  if (patterns.length > MAX_PATTERNS) throw new PatternError(`there are more than ${MAX_PATTERNS} patterns`);
  const rules = patterns.map(compileRule).filter((rule) => rule !== undefined);
  return {
    matches: (path) => {
      const segments = segmentsOf(path);
      // As docker has it, `.` itself is never left out.
      if (segments.length === 0) return false;
      let isOut = false;
      for (const { isException, alternatives } of rules) {
        if (isException === isOut && alternatives.some((parts) => follow(parts, segments).matched)) isOut = !isOut;
      }
      return isOut;
    },
    mayHaveExceptionsBelow: (folder) => {
      const segments = segmentsOf(folder);
      const isOpen = (parts: readonly Part[]) => follow(parts, segments).isOpen;
      return rules.some((rule) => rule.isException && rule.alternatives.some(isOpen));
    },
  };
}

/** The patterns in a `.dockerignore`: no comments, no empty lines, and nothing but paths from the context's root. */
export function parseIgnoreFile(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  return lines.flatMap((raw) => {
    if (raw.startsWith("#")) return [];
    const line = raw.trim();
    if (line === "") return [];
    const isException = line.startsWith("!");
    const written = isException ? line.slice(1).trim() : line;
    // What is left of a lone `!` is a mistake, which is told when it is compiled.
    const path = written === "" ? "" : cleanPath(written);
    // A leading slash is the context's root, where every pattern begins anyhow.
    const pattern = path.length > 1 ? path.replace(/^\//, "") : path;
    return [isException ? `!${pattern}` : pattern];
  });
}

type Spelled = (string | typeof ANY_FOLDERS)[];

function compileRule(written: string): Rule | undefined {
  const text = written.trim();
  if (text === "") return undefined;
  if (text.length > MAX_LENGTH) throw new PatternError(`a pattern is longer than ${MAX_LENGTH} characters`);
  if (text === "!") throw new PatternError('the pattern "!" makes an exception of nothing');
  const isException = text.startsWith("!");
  const path = cleanPath(isException ? text.slice(1) : text).replace(/^\//, "");
  const isSuffix = /^\*\*[^/]/.test(path) && !/[*?[\\]/.test(path.slice(2));
  // `**.go` is every path that ends so; with a wildcard after it, `**` ends at a slash.
  const alternatives: Spelled[] = isSuffix ? [[ANY_FOLDERS, ...segmentsOf(`*${path.slice(2)}`)]] : spell(path);
  const compiled = alternatives.map((parts) =>
    parts.map((part) => (part === ANY_FOLDERS ? part : compileSegment(part))),
  );
  return { isException, alternatives: compiled };
}

/**
 * Spells out what `**` means at each place, as docker reads it: `(.*\/)?`, a slash after it being its own, and anything at the end of
 * the pattern. Glued to a name it means two things: in `a**b`, `ab` and `a*` with folders and `b` behind it.
 */
function spell(text: string): Spelled[] {
  const at = findStars(text);
  if (at < 0) return [segmentsOf(text)];
  const before = text.slice(0, at);
  const after = text.slice(at + 2).replace(/^\//, "");
  if (after === "") return [segmentsOf(`${before}*`)];
  const below = spell(after).map((parts): Spelled => [ANY_FOLDERS, ...parts]);
  if (before === "" || before.endsWith("/")) return below.map((parts) => [...segmentsOf(before), ...parts]);
  const apart = below.map((parts) => [...segmentsOf(`${before}*`), ...parts]);
  const all = [...spell(before + after), ...apart];
  if (all.length > MAX_ALTERNATIVES)
    throw new PatternError(`the pattern ${JSON.stringify(text)} has ** within names too often`);
  return all;
}

/** Where the first `**` is that is neither escaped nor in brackets. */
function findStars(text: string): number {
  let isClass = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (isClass) isClass = char !== "]";
    else if (char === "[") isClass = true;
    else if (char === "*" && text[at + 1] === "*") return at;
  }
  return -1;
}

/** Follows all ways to match at once, segment by segment. `isOpen`: something below the whole path may match. */
function follow(parts: readonly Part[], segments: readonly string[]): { matched: boolean; isOpen: boolean } {
  let states = closure(new Set([0]), parts);
  for (const segment of segments) {
    const next = new Set<number>();
    for (const state of states) {
      const part = parts[state];
      if (part === ANY_FOLDERS) next.add(state);
      else if (part !== undefined && matchSegment(part, segment)) next.add(state + 1);
    }
    states = closure(next, parts);
    if (states.has(parts.length)) return { matched: true, isOpen: true };
    if (states.size === 0) return { matched: false, isOpen: false };
  }
  return { matched: false, isOpen: true };
}

/** `**` may be no folder at all; as the last part it is at least one. */
function closure(states: Set<number>, parts: readonly Part[]): Set<number> {
  for (const state of states) if (parts[state] === ANY_FOLDERS) states.add(state + 1);
  return states;
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "" && segment !== ".");
}

/** Go's `filepath.Clean`, on slashes. */
function cleanPath(path: string): string {
  const isAbsolute = path.startsWith("/");
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== ".." || !isAbsolute) parts.push(part);
  }
  const joined = parts.join("/");
  return isAbsolute ? `/${joined}` : joined || ".";
}
