/** What Go's `unicode.IsSpace` and JavaScript's `\s` agree on, and the Dockerfile's own lists are split at. */
const LIST_SEPARATOR = /[\t\v\f\r ]+/;

/** Splits at white space, whatever quotes there are: FROM, EXPOSE, VOLUME, and the paths of COPY and ADD. */
export function splitList(text: string): string[] {
  return text === "" ? [] : text.split(LIST_SEPARATOR);
}

/** The first word of a text and what follows it. */
export function splitFirst(text: string): [string, string | undefined] {
  const match = LIST_SEPARATOR.exec(text);
  if (match === null) return [text, undefined];
  return [text.slice(0, match.index), text.slice(match.index + match[0].length)];
}

/**
 * Splits into words that may be quoted or have escaped white space: ARG, ENV and LABEL. Quotes and escapes stay, since
 * variables are expanded later.
 */
export function splitWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at] ?? "")) at++;
    else {
      const end = endOfWord(text, at, escapeChar);
      // An escape at the very end is dropped.
      const isCut = end > text.length;
      const word = isCut ? text.slice(at, -1) : text.slice(at, end);
      if (word !== "") words.push(word);
      at = end;
    }
  }
  return words;
}

/** Where a word ends; beyond the text, when its last character escapes nothing. */
function endOfWord(text: string, from: number, escapeChar: string): number {
  let quote = "";
  let at = from;
  for (; at < text.length; at++) {
    const char = text[at] ?? "";
    if (quote === "" && /\s/.test(char)) return at;
    if (char === escapeChar && quote !== "'") at++;
    else if (quote === "" && (char === "'" || char === '"')) quote = char;
    else if (char === quote) quote = "";
  }
  return at;
}
