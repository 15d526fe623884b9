import { PatternError } from "./glob.js";
import { dockerfileError } from "./location.js";
import { compilePatterns, type PathPatterns, parseIgnoreFile } from "./path-patterns.js";

/** The names of the files that say what is no part of the context, the first one that exists being the one that counts. */
export function ignoreFileNames(dockerfile: string): string[] {
  return [`${dockerfile}.dockerignore`, ".dockerignore"];
}

/**
 * Compiles a `.dockerignore`.
 * @param fileName for messages
 * @throws DockerfileError that shows the line of a pattern that cannot be read
 */
export function compileIgnoreFile(text: string, fileName: string): PathPatterns {
  const patterns = parseIgnoreFile(text);
  try {
    return compilePatterns(patterns);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const lines = text.split("\n");
    const line = Math.max(
      0,
      lines.findIndex((each) => !compiles(each)),
    );
    const at = { file: fileName, line: line + 1, column: 1, endLine: line + 1, lines: [(lines[line] ?? "").trimEnd()] };
    throw dockerfileError(at, error.message);
  }
}

function compiles(line: string): boolean {
  try {
    compilePatterns(parseIgnoreFile(line));
    return true;
  } catch {
    return false;
  }
}
