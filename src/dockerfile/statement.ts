import type { DockerfileError } from "../errors.js";
import type { Flag } from "./flags.js";
import type { CommandLine, Heredoc } from "./instruction.js";
import type { Location } from "./location.js";
import { splitList } from "./split-words.js";
import { nearest } from "./suggest.js";
import type { Warn } from "./warning.js";

const MAX_ARGUMENTS = 10_000;

/** An instruction whose name and flags are cut off and whose arguments are not looked at yet. */
export interface Statement {
  /** In upper case. */
  name: string;
  /** The name as written. */
  keyword: string;
  flags: Flag[];
  /** What follows the flags, without white space around it. */
  rest: string;
  text: string;
  heredocs: Heredoc[];
  location: Location;
  escape: string;
  warn: Warn;
  /** Makes an error that shows the place of a character of `text`. */
  fail(message: string, hint?: string, offset?: number): DockerfileError;
  /** The statement that the arguments are, for ONBUILD. */
  sub(): Statement;
}

/** The flags of an instruction by what they hold. A wrong one is an error when it is asked for. */
export class FlagValues {
  readonly #statement: Statement;

  /** @throws DockerfileError for a flag that the instruction does not have, or has twice. */
  constructor(statement: Statement, known: { once?: readonly string[]; many?: readonly string[] } = {}) {
    this.#statement = statement;
    const { once = [], many = [] } = known;
    const seen = new Set<string>();
    for (const { name, text, offset } of statement.flags) {
      if (!once.includes(name) && !many.includes(name)) {
        const near = nearest(name, [...once, ...many]);
        const hint = near === undefined ? undefined : `Did you mean --${near}?`;
        throw statement.fail(`${statement.name} has no flag ${text}`, hint, offset);
      }
      if (seen.has(name) && once.includes(name)) throw statement.fail(`--${name} is given twice`, undefined, offset);
      seen.add(name);
    }
  }

  text(name: string): string | undefined {
    return this.texts(name)[0];
  }

  texts(name: string): string[] {
    return this.#all(name).map(({ value, offset }) => {
      if (value !== undefined) return value;
      throw this.#statement.fail(`--${name} needs a value`, `Write --${name}=VALUE, without a space.`, offset);
    });
  }

  boolean(name: string): boolean | undefined {
    const [flag] = this.#all(name);
    if (flag === undefined) return undefined;
    const value = flag.value?.toLowerCase() ?? "true";
    if (value === "true" || value === "false") return value === "true";
    throw this.#statement.fail(`--${name} is true or false, not ${JSON.stringify(flag.value)}`, undefined, flag.offset);
  }

  choice<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
    const text = this.text(name);
    const found = text === undefined ? choices[0] : choices.find((choice) => choice === text.toLowerCase());
    if (found !== undefined) return found;
    throw this.fail(name, `--${name} is ${choices.join(", ")}, not ${JSON.stringify(text)}`);
  }

  /** An error about the value of a flag. */
  fail(name: string, message: string, hint?: string): DockerfileError {
    return this.#statement.fail(message, hint, this.#all(name)[0]?.offset);
  }

  #all(name: string): Flag[] {
    return this.#statement.flags.filter((flag) => flag.name === name);
  }
}

/** Arguments in JSON, or undefined when they are not: then they are for the shell, or words. */
export function jsonArguments(statement: Statement, text = statement.rest): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (value.every((each) => typeof each === "string")) return value;
  throw statement.fail("in the JSON form every argument is a string", `Put each into double quotes.`);
}

/** The command of RUN, CMD and ENTRYPOINT. */
export function commandLine(statement: Statement): CommandLine {
  const argv = jsonArguments(statement);
  if (argv !== undefined) return { form: "exec", argv };
  if (statement.rest === "") throw statement.fail(`${statement.name} needs a command`);
  return { form: "shell", text: statement.rest };
}

/** Arguments in JSON or separated by white space. */
export function listArguments(statement: Statement): string[] {
  return notTooMany(statement, jsonArguments(statement) ?? splitList(statement.rest));
}

/** @throws DockerfileError for more arguments than anybody writes */
export function notTooMany(statement: Statement, words: string[]): string[] {
  if (words.length <= MAX_ARGUMENTS) return words;
  throw statement.fail(`${statement.name} has more than ${MAX_ARGUMENTS} arguments`);
}

export function onlyArgument(statement: Statement): string {
  if (statement.rest === "") throw statement.fail(`${statement.name} needs an argument`);
  return statement.rest;
}
