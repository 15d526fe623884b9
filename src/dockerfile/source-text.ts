import { dockerfileError, type Location } from "./location.js";

/** Bigger than any Dockerfile that somebody wrote; a generated one of this size has gone wrong. */
export const MOST_DOCKERFILE_BYTES = 2 * 1024 * 1024;

/** An instruction's text with its continued lines joined, and where each part of it is in the file. */
export interface LogicalLine {
  /** Without white space around it. */
  text: string;
  /** Index of its first line, from 0. */
  firstLine: number;
  /** Index of the line after its last one. */
  nextLine: number;
  /** Lines that a continuation leads to and that are empty: a mistake more often than not. */
  emptyLines: number[];
  /** Where the part of `text` from `offset` on is. */
  parts: { offset: number; line: number; column: number }[];
}

/** A Dockerfile's lines. */
export class SourceText {
  readonly file: string;
  readonly lines: readonly string[];

  /** @throws DockerfileError for what is too big, or no text. */
  constructor(text: string, file: string) {
    this.file = file;
    this.lines = text
      .slice(0, MOST_DOCKERFILE_BYTES)
      .replace(/^\uFEFF/, "")
      .split("\n");
    if (text.length > MOST_DOCKERFILE_BYTES)
      throw dockerfileError(this.at(0), `the file is larger than ${MOST_DOCKERFILE_BYTES} characters`);
    const binary = this.lines.findIndex((line) => line.includes("\0"));
    if (binary >= 0) throw dockerfileError(this.at(binary), "the file has a NUL character and is no Dockerfile");
  }

  /** The place of a line, from 0. */
  at(line: number, column = 1, endLine = line): Location {
    const lines = this.lines.slice(line, endLine + 1).map((text) => text.replace(/\r$/, ""));
    return { file: this.file, line: line + 1, column, endLine: endLine + 1, lines };
  }

  /** The place of a character of a logical line, whose instruction may go on after it with heredocs. */
  locate(logical: LogicalLine, offset = 0, endLine = logical.nextLine - 1): Location {
    const part = logical.parts.findLast((each) => each.offset <= offset) ?? {
      offset: 0,
      line: logical.firstLine,
      column: 1,
    };
    return this.at(part.line, part.column + offset - part.offset, endLine);
  }

  /** The next instruction at or after a line; undefined at the end of the file. Comments and empty lines are passed over. */
  logicalLine(from: number, escapeChar: string): LogicalLine | undefined {
    const parts: LogicalLine["parts"] = [];
    const emptyLines: number[] = [];
    let text = "";
    for (let index = from; index < this.lines.length; index++) {
      const raw = (this.lines[index] ?? "").replace(/\r$/, "");
      const trimmed = raw.trimStart();
      if (trimmed.startsWith("#")) continue;
      const isFirst = parts.length === 0;
      if (trimmed === "") {
        if (!isFirst) emptyLines.push(index);
        continue;
      }
      const shown = isFirst ? trimmed : raw;
      const continued = withoutContinuation(shown, escapeChar);
      parts.push({ offset: text.length, line: index, column: raw.length - shown.length + 1 });
      text += continued ?? shown;
      if (continued === undefined) return finished(text, parts, emptyLines, index + 1);
    }
    // The last line of the file may end in a continuation.
    return text.trim() === "" ? undefined : finished(text, parts, emptyLines, this.lines.length);
  }
}

function finished(text: string, parts: LogicalLine["parts"], emptyLines: number[], nextLine: number): LogicalLine {
  // A first line of a continuation alone: what follows it may be indented.
  const start = text.length - text.trimStart().length;
  const moved = parts.map((part) => ({ ...part, offset: part.offset - start }));
  return { text: text.trim(), firstLine: parts[0]?.line ?? 0, nextLine, emptyLines, parts: moved };
}

/** The line without the escape character that continues it; an escaped one does not. */
function withoutContinuation(line: string, escapeChar: string): string | undefined {
  let end = line.length;
  while (line[end - 1] === " " || line[end - 1] === "\t") end--;
  const text = line.slice(0, end);
  if (!text.endsWith(escapeChar) || text.endsWith(escapeChar + escapeChar)) return undefined;
  return text.slice(0, -1);
}
