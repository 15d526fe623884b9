import { dockerfileError, type Location } from "./location.js";

/** `# check=skip=RuleA,RuleB;error=true`. */
export interface CheckDirective {
  /** Rules whose warnings are left out; `all` for every one. */
  skip: string[];
  experimental: string[];
  /** Whether a warning fails the build. */
  error: boolean;
}

/** The `# name=value` lines at the top of a Dockerfile. */
export interface Directives {
  /** The frontend's image that the file asks for. There is one frontend here, which is built in. */
  syntax: string | undefined;
  escape: "\\" | "`";
  check: CheckDirective;
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=(.*)$/;
const NAMES = ["syntax", "escape", "check"];

/**
 * Reads the directives. They come before everything else, empty lines included; the first line that is none ends them.
 * @throws DockerfileError
 */
export function readDirectives(lines: readonly string[], file: string): Directives {
  const found = new Map<string, string>();
  const directives: Directives = {
    syntax: undefined,
    escape: "\\",
    check: { skip: [], experimental: [], error: false },
  };
  for (const [index, raw] of lines.entries()) {
    const line = raw.trimStart();
    const match = DIRECTIVE.exec(line);
    const name = match?.[1]?.toLowerCase() ?? "";
    const value = match?.[2]?.trim() ?? "";
    if (!NAMES.includes(name) || value === "") break;
    const at: Location = {
      file,
      line: index + 1,
      column: raw.length - line.length + 1,
      endLine: index + 1,
      lines: [raw],
    };
    if (found.has(name)) throw dockerfileError(at, `there can be only one ${name} directive`);
    found.set(name, value);
    if (name === "syntax") directives.syntax = value;
    else if (name === "check") directives.check = parseCheck(value, at);
    else if (value === "\\" || value === "`") directives.escape = value;
    else throw dockerfileError(at, `the escape character is \\ or \`, not ${JSON.stringify(value)}`);
  }
  return directives;
}

function parseCheck(value: string, at: Location): CheckDirective {
  const check: CheckDirective = { skip: [], experimental: [], error: false };
  for (const part of value.split(";")) {
    const [key = "", ...rest] = part.split("=");
    const setting = rest.join("=").trim();
    const rules = setting.split(",").map((rule) => rule.trim());
    if (key.trim() === "skip") check.skip = rules;
    else if (key.trim() === "experimental") check.experimental = rules;
    else if (key.trim() === "error" && /^(true|false)$/i.test(setting)) check.error = setting.toLowerCase() === "true";
    else
      throw dockerfileError(
        at,
        `${JSON.stringify(part)} is no setting of a check directive`,
        "Write check=skip=RULE,RULE;error=true.",
      );
  }
  return check;
}
