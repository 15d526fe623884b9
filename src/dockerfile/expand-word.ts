import { ExpansionError } from "./expansion-error.js";
import { removePrefix, removeSuffix, replacePattern } from "./shell-pattern.js";

/** Deeper than anybody nests `${a:-${b:-...}}`. */
const MAX_DEPTH = 100;
/** The kernel takes no longer argument or variable (MAX_ARG_STRLEN), and an `ENV A=$A$A` doubles with every line. */
const MAX_LENGTH = 128 * 1024;

const NAME = /[\p{L}\p{Nd}_]+/uy;
const DIGITS = /\p{Nd}+/uy;
/** The shell's special parameters, which no Dockerfile can set: they are names of unset variables. */
const SPECIAL = "@*#?-$!";

export interface ExpandOptions {
  /** The escape character of the file. `\` by default. */
  escape?: string | undefined;
  /** Quotes stay in the result. */
  keepQuotes?: boolean | undefined;
  /** Escape characters stay in the result. */
  keepEscapes?: boolean | undefined;
  /** Quotes mean nothing, as in a heredoc. */
  plainQuotes?: boolean | undefined;
  /** References to variables that are not set stay as they are. */
  keepUnset?: boolean | undefined;
  /** Characters that the result may have. */
  maxLength?: number | undefined;
}

export interface Expansion {
  text: string;
  /** The text split at white space that is neither quoted nor escaped; values are split too. */
  words: string[];
  /** Names that were asked for and are not set. */
  unset: Set<string>;
}

/**
 * Expands variables and removes quotes and escapes as BuildKit's shell lexer does.
 * @throws ExpansionError
 */
export function expandWord(text: string, env: ReadonlyMap<string, string>, options: ExpandOptions = {}): Expansion {
  const reader = new WordReader(text, env, options);
  const result = reader.readUntil(undefined, options.keepEscapes ?? false);
  return { text: result.text, words: result.words(), unset: reader.unset };
}

/** A text that grows, and the words in it. */
class Collected {
  text = "";
  // White space that splits, by place; words are cut out only when somebody asks.
  readonly #pieces: { text: string; splits: boolean }[] = [];
  readonly #maxLength: number;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  add(text: string, splits: boolean): void {
    if (text === "") return;
    this.text += text;
    if (this.text.length > this.#maxLength) {
      throw new ExpansionError(`the result is longer than ${this.#maxLength} characters`);
    }
    this.#pieces.push({ text, splits });
  }

  words(): string[] {
    const words: string[] = [];
    let word = "";
    const end = () => {
      if (word !== "") words.push(word);
      word = "";
    };
    for (const { text, splits } of this.#pieces) {
      if (!splits) word += text;
      else {
        const parts = text.split(/\s+/);
        for (const [index, part] of parts.entries()) {
          if (index > 0) end();
          word += part;
        }
      }
    }
    end();
    return words;
  }
}

class WordReader {
  readonly unset = new Set<string>();
  readonly #text: string;
  readonly #env: ReadonlyMap<string, string>;
  readonly #options: ExpandOptions;
  readonly #escape: string;
  #at = 0;
  #depth = 0;

  constructor(text: string, env: ReadonlyMap<string, string>, options: ExpandOptions) {
    this.#text = text;
    this.#env = env;
    this.#options = options;
    this.#escape = options.escape ?? "\\";
  }

  /** Reads to the end, or to a character that is not quoted, which is read too. */
  readUntil(stop: string | undefined, keepEscapes: boolean): Collected {
    const result = new Collected(this.#options.maxLength ?? MAX_LENGTH);
    const quotes = this.#options.plainQuotes ? "" : `'"`;
    const special = `$${quotes}${this.#escape}${stop ?? ""}`;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] ?? "";
      if (char === stop) {
        this.#at++;
        return result;
      }
      if (char === "$") result.add(this.#dollar(), true);
      else if (quotes.includes(char))
        result.add(char === "'" ? this.#singleQuoted() : this.#doubleQuoted(keepEscapes), false);
      else if (char === this.#escape) result.add(this.#escaped(keepEscapes), false);
      else result.add(this.#plain(special), true);
    }
    if (stop !== undefined) throw new ExpansionError(`syntax error: missing '${stop}'`);
    return result;
  }

  #plain(special: string): string {
    const from = this.#at;
    while (this.#at < this.#text.length && !special.includes(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text.slice(from, this.#at);
  }

  /** An escape at the very end is dropped. */
  #escaped(keepEscapes: boolean): string {
    const next = this.#character(this.#at + 1);
    this.#at += 1 + next.length;
    return keepEscapes ? this.#escape + next : next;
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new ExpansionError("a single quote is not closed");
    const content = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return this.#options.keepQuotes ? `'${content}'` : content;
  }

  #doubleQuoted(keepEscapes: boolean): string {
    const quote = this.#options.keepQuotes ? '"' : "";
    const result = new Collected(this.#options.maxLength ?? MAX_LENGTH);
    const special = `$"${this.#escape}`;
    this.#at++;
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] ?? "";
      if (char === '"') {
        this.#at++;
        return quote + result.text + quote;
      }
      if (char === "$") result.add(this.#dollar(), false);
      else if (char === this.#escape) result.add(this.#escapedInQuotes(keepEscapes), false);
      else result.add(this.#plain(special), false);
    }
    throw new ExpansionError("a double quote is not closed");
  }

  /** Within double quotes an escape means something only before `"`, `$` and itself. */
  #escapedInQuotes(keepEscapes: boolean): string {
    const next = this.#text[this.#at + 1] ?? "";
    const isSpecial = next !== "" && `"$${this.#escape}`.includes(next);
    if (!isSpecial) {
      this.#at++;
      return keepEscapes ? this.#escape + this.#escape : this.#escape;
    }
    this.#at += 2;
    return keepEscapes ? this.#escape + next : next;
  }

  #dollar(): string {
    const from = this.#at;
    this.#at++;
    if (this.#text[this.#at] === "{") {
      this.#at++;
      return this.#braces(from);
    }
    const name = this.#name();
    if (name === "") return "$";
    const value = this.#lookUp(name);
    return value ?? (this.#options.keepUnset ? `$${name}` : "");
  }

  #braces(from: number): string {
    if (++this.#depth > MAX_DEPTH) throw new ExpansionError("variables are nested too deeply");
    if (this.#at >= this.#text.length) throw new ExpansionError("syntax error: missing '}'");
    const name = this.#name();
    if (name === "") throw new ExpansionError("syntax error: bad substitution");
    const operator = this.#operator();
    const operation = operator === "/" ? this.#replacement() : this.#modifier(operator);
    this.#depth--;
    const value = this.#lookUp(name);
    if (value === undefined && this.#options.keepUnset) return this.#text.slice(from, this.#at);
    return operation(name, value);
  }

  #operator(): string {
    const first = this.#character(this.#at);
    if (first === "") throw new ExpansionError("syntax error: missing '}'");
    const operator = first === ":" ? first + this.#character(this.#at + 1) : first;
    if (!/^(?:\}|\/|:?[-+?#%])$/.test(operator)) {
      throw new ExpansionError(`unsupported modifier (${operator}) in substitution`);
    }
    this.#at += operator.length;
    return operator;
  }

  /** The word after an operator is read, and its own variables looked up, whether it is needed or not. */
  #modifier(operator: string): (name: string, value: string | undefined) => string {
    if (operator === "}") return (_name, value) => value ?? "";
    const kind = operator.at(-1);
    const emptyIsUnset = operator.length > 1;
    const isPattern = kind === "#" || kind === "%";
    const word = this.readUntil("}", isPattern).text;
    const missing = (value: string | undefined) => value === undefined || (emptyIsUnset && value === "");
    if (kind === "-") return (_name, value) => (missing(value) ? word : (value ?? ""));
    if (kind === "+") return (_name, value) => (missing(value) ? "" : word);
    if (kind === "?") {
      return (name, value) => {
        if (!missing(value)) return value ?? "";
        const why = value === undefined ? "is not allowed to be unset" : "is not allowed to be empty";
        throw new ExpansionError(`${name}: ${word || why}`);
      };
    }
    const isLongest = word.startsWith(String(kind));
    const pattern = isLongest ? word.slice(1) : word;
    const remove = kind === "#" ? removePrefix : removeSuffix;
    return (_name, value) => remove(value ?? "", pattern, isLongest);
  }

  #replacement(): (name: string, value: string | undefined) => string {
    const all = this.#text[this.#at] === "/";
    if (all) this.#at++;
    const pattern = this.readUntil("/", true).text;
    const replacement = this.readUntil("}", true).text;
    return (_name, value) => replacePattern(value ?? "", pattern, replacement, all);
  }

  #name(): string {
    const char = this.#character(this.#at);
    if (char !== "" && SPECIAL.includes(char)) {
      this.#at++;
      return char;
    }
    const pattern = /\p{Nd}/u.test(char) ? DIGITS : NAME;
    pattern.lastIndex = this.#at;
    const name = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += name.length;
    return name;
  }

  #lookUp(name: string): string | undefined {
    const value = this.#env.get(name);
    if (value === undefined) this.unset.add(name);
    return value;
  }

  #character(at: number): string {
    const point = this.#text.codePointAt(at);
    return point === undefined ? "" : String.fromCodePoint(point);
  }
}
