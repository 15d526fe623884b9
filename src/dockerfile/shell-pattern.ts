import { ExpansionError } from "./expansion-error.js";

/** Matching costs pattern times text, so that an adversary's pattern must be short. */
const MAX_PATTERN = 1024;

const ANY_STRING = Symbol("*");
const ANY_CHARACTER = Symbol("?");
type Token = string | typeof ANY_STRING | typeof ANY_CHARACTER;

/** `${value#pattern}`, or `##` for the longest match. @throws ExpansionError */
export function removePrefix(value: string, pattern: string, isLongest: boolean): string {
  const text = [...value];
  const end = matchEnd(text, parse(pattern), 0, isLongest);
  return end === undefined ? value : text.slice(end).join("");
}

/** `${value%pattern}`, or `%%` for the longest match. @throws ExpansionError */
export function removeSuffix(value: string, pattern: string, isLongest: boolean): string {
  const text = [...value];
  const end = matchEnd(text.toReversed(), parse(pattern).toReversed(), 0, isLongest);
  return end === undefined ? value : text.slice(0, text.length - end).join("");
}

/** `${value/pattern/replacement}`, or `//` for all matches: each time the leftmost one, as long as it can be. @throws ExpansionError */
export function replacePattern(value: string, pattern: string, replacement: string, all: boolean): string {
  const text = [...value];
  const tokens = parse(pattern);
  const starts = matchStarts(text, tokens);
  let result = "";
  let done = 0;
  let previousEnd = -1;
  for (let at = 0; at <= text.length; at++) {
    if (!starts.has(at)) continue;
    const end = matchEnd(text, tokens, at, true) ?? at;
    // As in Go's regular expressions, no empty match directly after another one.
    if (end === at && at === previousEnd) continue;
    result += text.slice(done, at).join("") + replacement;
    done = end;
    previousEnd = end;
    if (!all) break;
    at = Math.max(at, end - 1);
  }
  return result + text.slice(done).join("");
}

/** `*`, `?`, and these two and the backslash escaped. `\}` and `\/` are what the braces need escaped, and mean themselves. */
function parse(pattern: string): Token[] {
  if (pattern.length > MAX_PATTERN) throw new ExpansionError(`a pattern is longer than ${MAX_PATTERN} characters`);
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at++) {
    const char = characters[at] ?? "";
    if (char === "*") tokens.push(ANY_STRING);
    else if (char === "?") tokens.push(ANY_CHARACTER);
    else if (char !== "\\") tokens.push(char);
    else {
      const next = characters[++at] ?? "";
      if (next === "" || !"*?\\}/".includes(next)) {
        throw new ExpansionError(`invalid pattern (${pattern}) in substitution: invalid escape '\\${next}'`);
      }
      tokens.push(next);
    }
  }
  return tokens;
}

/**
 * Where the longest or shortest match that begins at `from` ends. All the ways to match are followed at once, never one after
 * the other, so that no pattern takes more than pattern times text.
 */
function matchEnd(
  text: readonly string[],
  tokens: readonly Token[],
  from: number,
  isLongest: boolean,
): number | undefined {
  let states = closure(new Set([0]), tokens);
  let end: number | undefined;
  for (let at = from; ; at++) {
    if (states.has(tokens.length)) {
      end = at;
      if (!isLongest) return end;
    }
    const char = text[at];
    if (char === undefined || states.size === 0) return end;
    states = advance(states, tokens, char);
  }
}

/** The places at which a match begins, found by matching backwards from every place at once. */
function matchStarts(text: readonly string[], tokens: readonly Token[]): Set<number> {
  const backwards = tokens.toReversed();
  const first = closure(new Set([0]), backwards);
  const starts = new Set<number>();
  let states = first;
  for (let at = text.length; ; at--) {
    if (states.has(backwards.length)) starts.add(at);
    const char = text[at - 1];
    if (char === undefined) return starts;
    states = new Set([...advance(states, backwards, char), ...first]);
  }
}

function advance(states: ReadonlySet<number>, tokens: readonly Token[], char: string): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const token = tokens[state];
    if (token === ANY_STRING) next.add(state);
    else if (token === ANY_CHARACTER || token === char) next.add(state + 1);
  }
  return closure(next, tokens);
}

/** A `*` may match nothing. */
function closure(states: Set<number>, tokens: readonly Token[]): Set<number> {
  for (const state of states) if (tokens[state] === ANY_STRING) states.add(state + 1);
  return states;
}
