/** A `--name=value` before an instruction's arguments; the quotes are gone. */
export interface Flag {
  name: string;
  value: string | undefined;
  /** As written, for messages. */
  text: string;
  /** Where it begins in the instruction's text. */
  offset: number;
}

/**
 * Cuts the flags from the start of an instruction's arguments. They may be quoted, and a backslash escapes whatever the file's
 * escape character is. `--` alone ends them.
 */
export function splitFlags(text: string, from: number): { flags: Flag[]; offset: number } {
  const flags: Flag[] = [];
  let at = from;
  for (;;) {
    while (at < text.length && /\s/.test(text[at] ?? "")) at++;
    if (!text.startsWith("--", at)) return { flags, offset: at };
    const word = readWord(text, at);
    if (word.value === "--") return { flags, offset: skipSpace(text, word.end) };
    const [name = "", ...rest] = word.value.slice(2).split("=");
    flags.push({
      name,
      value: rest.length === 0 ? undefined : rest.join("="),
      text: text.slice(at, word.end),
      offset: at,
    });
    at = word.end;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at] ?? "")) at++;
  return at;
}

function readWord(text: string, from: number): { value: string; end: number } {
  let value = "";
  let quote = "";
  let at = from;
  for (; at < text.length; at++) {
    const char = text[at] ?? "";
    if (quote === "" && /\s/.test(char)) break;
    if (char === "\\") value += text[++at] ?? "";
    else if (quote === "" && (char === "'" || char === '"')) quote = char;
    else if (char === quote) quote = "";
    else value += char;
  }
  return { value, end: Math.min(at, text.length) };
}
