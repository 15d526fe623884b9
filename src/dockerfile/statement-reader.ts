import type { DockerfileError } from "../errors.js";
import { splitFlags } from "./flags.js";
import { endsHeredoc, heredocsOf } from "./heredoc.js";
import type { Heredoc } from "./instruction.js";
import { dockerfileError, type Location } from "./location.js";
import type { LogicalLine, SourceText } from "./source-text.js";
import { splitFirst } from "./split-words.js";
import { jsonArguments, type Statement } from "./statement.js";
import type { Warn } from "./warning.js";

/** Docker mounts no image with more than 127 layers. */
const MAX_STATEMENTS = 2000;
/** More flags, and more heredocs, than one instruction has a use for. */
const MAX_FLAGS = 1000;
const HAVE_HEREDOCS = ["RUN", "COPY", "ADD"];

interface ReaderOptions {
  escape: string;
  warn: Warn;
  /** Where every mistake is shown, when the text is not in the file itself. */
  place?: Location | undefined;
}

/** Cuts a file into statements: a name, flags, arguments and heredocs. */
export class StatementReader {
  readonly #source: SourceText;
  readonly #options: ReaderOptions;
  #line = 0;
  #count = 0;

  constructor(source: SourceText, options: ReaderOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** The next one; undefined at the end of the file. @throws DockerfileError */
  next(): Statement | undefined {
    const logical = this.#source.logicalLine(this.#line, this.#options.escape);
    if (logical === undefined) return undefined;
    const first = this.#statement(logical, { text: logical.text, offset: 0 }, [], logical.nextLine);
    if (++this.#count > MAX_STATEMENTS) throw first.fail(`the file has more than ${MAX_STATEMENTS} instructions`);
    if (first.flags.length > MAX_FLAGS) throw first.fail(`${first.name} has more than ${MAX_FLAGS} flags`);
    this.#warnOfEmptyLines(logical);
    const { heredocs, nextLine } = this.#readHeredocs(first, logical);
    this.#line = nextLine;
    return this.#statement(logical, { text: logical.text, offset: 0 }, heredocs, nextLine);
  }

  /** An error about the file as a whole, shown at its last line with something in it. */
  fail(message: string, hint?: string): DockerfileError {
    const last = Math.max(
      0,
      this.#source.lines.findLastIndex((line) => line.trim() !== ""),
    );
    return dockerfileError(this.#options.place ?? this.#source.at(last), message, hint);
  }

  /** Reads a statement out of a part of a logical line: the whole of it, or what follows ONBUILD. */
  #statement(
    logical: LogicalLine,
    part: { text: string; offset: number },
    heredocs: Heredoc[],
    nextLine: number,
  ): Statement {
    const { text } = part;
    const [keyword, after] = splitFirst(text);
    const { flags, offset } = splitFlags(text, text.length - (after?.length ?? 0));
    const rest = text.slice(offset);
    const locate = (at = 0) => this.#options.place ?? this.#source.locate(logical, part.offset + at, nextLine - 1);
    return {
      name: keyword.toUpperCase(),
      keyword,
      flags,
      rest,
      text,
      heredocs,
      location: locate(),
      escape: this.#options.escape,
      warn: this.#options.warn,
      fail: (message, hint, at) => dockerfileError(locate(at), message, hint),
      sub: () => this.#statement(logical, { text: rest, offset: part.offset + offset }, heredocs, nextLine),
    };
  }

  #readHeredocs(statement: Statement, logical: LogicalLine): { heredocs: Heredoc[]; nextLine: number } {
    const heredocs: Heredoc[] = [];
    const inner = statement.name === "ONBUILD" ? statement.sub() : statement;
    let nextLine = logical.nextLine;
    if (!HAVE_HEREDOCS.includes(inner.name) || jsonArguments(inner) !== undefined) return { heredocs, nextLine };
    const starts = heredocsOf(logical.text);
    if (starts.length > MAX_FLAGS) throw statement.fail(`${statement.name} has more than ${MAX_FLAGS} heredocs`);
    for (const start of starts) {
      const { lines } = this.#source;
      let end = nextLine;
      while (end < lines.length && !endsHeredoc(start, lines[end] ?? "")) end++;
      if (end === lines.length) {
        const offset = Math.max(0, statement.text.indexOf("<<"));
        throw statement.fail(
          `the heredoc ${start.name} has no end`,
          `End it with a line that is just ${start.name}.`,
          offset,
        );
      }
      const content = lines.slice(nextLine, end).map((line) => `${line}\n`);
      heredocs.push({ ...start, content: content.join("") });
      nextLine = end + 1;
    }
    return { heredocs, nextLine };
  }

  #warnOfEmptyLines({ emptyLines }: LogicalLine): void {
    const [first] = emptyLines;
    if (first === undefined) return;
    this.#options.warn("NoEmptyContinuation", "an empty line within a continued instruction", this.#source.at(first));
  }
}
