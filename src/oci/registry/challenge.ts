/** What a registry asks for with a 401: `Basic` or `Bearer`, in lower case, with the parameters. */
export interface Challenge {
  scheme: string;
  parameters: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 16 * 1024;
// RFC 9110, sections 5.6.2 and 11.2.
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y;
const PARAMETER = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;
const SPACE = /\s*/y;
const SEPARATOR = /[\s,]*/y;

/**
 * Parses `WWW-Authenticate` (RFC 9110, section 11.6.1): several challenges in one line or in several, parameters quoted or
 * not, with commas inside of quotes. What cannot be understood ends the list.
 */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const lines = header === undefined ? [] : typeof header === "string" ? [header] : header;
  return lines.filter((line) => line.length <= MAX_LENGTH).flatMap(parseLine);
}

function parseLine(line: string): Challenge[] {
  const challenges: Challenge[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(line);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };
  for (;;) {
    take(SEPARATOR);
    const scheme = take(TOKEN);
    if (scheme === null) return challenges;
    const parameters = new Map<string, string>();
    challenges.push({ scheme: scheme[0].toLowerCase(), parameters });
    take(SPACE);
    if (take(TOKEN68) !== null) continue;
    take(SEPARATOR);
    for (let found = take(PARAMETER); found !== null; found = take(PARAMETER)) {
      const [, name = "", quoted, plain = ""] = found;
      parameters.set(name.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1"));
      take(SEPARATOR);
    }
  }
}
