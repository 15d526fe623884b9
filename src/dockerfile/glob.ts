/** One part of a pattern, within a path's segment. */
type Token =
  | { kind: "text"; text: string }
  | { kind: "any-string" }
  | { kind: "any-character" }
  | { kind: "class"; negated: boolean; ranges: [number, number][] };

/** A pattern for one segment of a path, as Go's `filepath.Match` has it. */
export type SegmentPattern = readonly Token[];

/** A pattern that cannot be read, such as one with a bracket that is not closed. */
export class PatternError extends Error {}

/**
 * Compiles a pattern without slashes: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before what is meant literally.
 * @throws PatternError
 */
export function compileSegment(pattern: string): SegmentPattern {
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let at = 0; at < characters.length; at++) {
    const char = characters[at] ?? "";
    if (char === "*") {
      if (tokens.at(-1)?.kind !== "any-string") tokens.push({ kind: "any-string" });
    } else if (char === "?") tokens.push({ kind: "any-character" });
    else if (char === "[") {
      const { token, end } = readClass(characters, at + 1, pattern);
      tokens.push(token);
      at = end;
    } else if (char === "\\") {
      const next = characters[++at];
      if (next === undefined) throw new PatternError(`the pattern ${JSON.stringify(pattern)} ends in a backslash`);
      tokens.push({ kind: "text", text: next });
    } else tokens.push({ kind: "text", text: char });
  }
  return tokens;
}

/** Whether a segment matches. It takes no more than pattern times name: there is only ever one `*` to come back to. */
export function matchSegment(pattern: SegmentPattern, name: string): boolean {
  const characters = [...name];
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < characters.length) {
    const current = pattern[token];
    if (current?.kind === "any-string") {
      star = token++;
      starAt = at;
    } else if (current !== undefined && matchesCharacter(current, characters[at] ?? "")) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (pattern[token]?.kind === "any-string") token++;
  return token === pattern.length;
}

/** Whether a text is a pattern and not just a name. */
export function hasWildcard(text: string): boolean {
  return /(?:^|[^\\])(?:\\\\)*[*?[]/.test(text);
}

function matchesCharacter(token: Token, char: string): boolean {
  if (token.kind === "text") return token.text === char;
  if (token.kind !== "class") return token.kind === "any-character";
  const point = char.codePointAt(0) ?? 0;
  return token.ranges.some(([from, to]) => from <= point && point <= to) !== token.negated;
}

function readClass(characters: readonly string[], from: number, pattern: string): { token: Token; end: number } {
  const wrong = () =>
    new PatternError(`the pattern ${JSON.stringify(pattern)} has a bracket that is not closed or empty`);
  const ranges: [number, number][] = [];
  const negated = characters[from] === "^";
  let at = negated ? from + 1 : from;
  const readOne = (): number => {
    let char = characters[at++];
    if (char === "\\") char = characters[at++];
    else if (char === "-" || char === "]") throw wrong();
    const point = char?.codePointAt(0);
    if (point === undefined) throw wrong();
    return point;
  };
  while (characters[at] !== "]" || ranges.length === 0) {
    const first = readOne();
    let last = first;
    if (characters[at] === "-") {
      at++;
      last = readOne();
    }
    ranges.push([first, last]);
  }
  return { token: { kind: "class", negated, ranges }, end: at };
}
