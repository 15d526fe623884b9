import { dockerfileError } from "./location.js";
import type { Dockerfile } from "./parse.js";
import type { DockerfileWarning } from "./warning.js";

/**
 * The warnings that the file's `# check=` wants to see, each once, by their place.
 * @throws DockerfileError for the first one, with `error=true`
 */
export function checkWarnings(file: Dockerfile, warnings: readonly DockerfileWarning[]): DockerfileWarning[] {
  const { skip, error } = file.directives.check;
  const skipped = skip.map((rule) => rule.toLowerCase());
  const wanted = new Map<string, DockerfileWarning>();
  for (const warning of warnings) {
    const { rule, message, location } = warning;
    if (skipped.includes("all") || skipped.includes(rule.toLowerCase())) continue;
    wanted.set(`${location.line}:${location.column}:${rule}:${message}`, warning);
  }
  const sorted = [...wanted.values()].toSorted(
    (a, b) => a.location.line - b.location.line || a.location.column - b.location.column,
  );
  const [first] = sorted;
  if (first !== undefined && error)
    throw dockerfileError(
      first.location,
      `${first.rule}: ${first.message}`,
      "The file asks for errors with check=error=true.",
    );
  return sorted;
}
