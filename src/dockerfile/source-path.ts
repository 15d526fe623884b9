import { compileSegment, hasWildcard, matchSegment } from "./glob.js";

/** One segment of a source's path: a name as it is, a pattern, or any number of folders (`**`, with `--parents` only). */
export type SourceSegment =
  | { kind: "name"; name: string }
  | { kind: "pattern"; matches: (name: string) => boolean }
  | { kind: "folders" };

/** A source of COPY or ADD within the context or an image. */
export interface SourcePath {
  /** With `--parents`: what is before `/./`, which the destination does not repeat. */
  pivot: SourceSegment[];
  segments: SourceSegment[];
  hasWildcard: boolean;
}

/**
 * Reads a source's path. `..` never leads out of the root: it is taken away before anything is looked up.
 * @throws PatternError
 */
export function parseSourcePath(text: string, options: { parents?: boolean | undefined } = {}): SourcePath {
  const at = options.parents ? text.indexOf("/./") : -1;
  const pivot = at < 0 ? "" : text.slice(0, at);
  const rest = at < 0 ? text : text.slice(at + "/./".length);
  const isPattern = hasWildcard(text);
  const mode = { isPattern, hasFolders: options.parents ?? false };
  return { pivot: segments(pivot, mode), segments: segments(rest, mode), hasWildcard: isPattern };
}

/** A backslash escapes only where there are wildcards to escape. */
function segments(path: string, mode: { isPattern: boolean; hasFolders: boolean }): SourceSegment[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.map((part): SourceSegment => {
    if (!mode.isPattern) return { kind: "name", name: part };
    if (part === "**" && mode.hasFolders) return { kind: "folders" };
    const pattern = compileSegment(part);
    const isName = pattern.every((token) => token.kind === "text");
    if (isName) return { kind: "name", name: pattern.map(({ text }) => text).join("") };
    return { kind: "pattern", matches: (name) => matchSegment(pattern, name) };
  });
}
