import type { Argument, Command, Option } from "commander";
import { type Candidate, optionValues, positionalValues } from "./values.js";

/** What can be typed next. */
export interface Completion {
  candidates: Candidate[];
  /** Names of files, too, which the shell knows best. */
  files: boolean;
}

/** Where a command line is, as far as it has been typed. */
interface Position {
  command: Command;
  /** What was typed of the command's own arguments. */
  operands: string[];
  /** The option whose value is next. */
  option: Option | undefined;
  /** After `--`, or after what ends the options of commands that run others: what follows belongs to the guest. */
  inGuest: boolean;
}

const NOTHING: Completion = { candidates: [], files: false };

/**
 * What can be typed in the place of the last of `words`.
 * @param program with the command that the words name loaded
 * @param words what was typed after the program's name; the last one may be empty
 */
export async function complete(program: Command, words: readonly string[]): Promise<Completion> {
  const current = words.at(-1) ?? "";
  const position = positionAfter(program, words.slice(0, -1));
  const { candidates, files } = await at(position, current);
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)), files };
}

async function at({ command, operands, option, inGuest }: Position, current: string): Promise<Completion> {
  if (inGuest) return NOTHING;
  if (option) return valuesOf(option);
  const [, name, value] = /^(--[^=]+)=(.*)$/.exec(current) ?? [];
  if (name !== undefined && value !== undefined) {
    const found = findOption(command, name);
    const { candidates, files } = found ? await valuesOf(found) : NOTHING;
    return { candidates: candidates.map((each) => ({ ...each, value: `${name}=${each.value}` })), files };
  }
  if (current.startsWith("-")) return { candidates: flagsOf(command, current), files: false };
  const children = command.createHelp().visibleCommands(command);
  if (children.length > 0 && operands.length === 0) {
    return { candidates: children.map((each) => ({ value: each.name(), about: each.description() })), files: false };
  }
  const argument = argumentAt(command, operands.length);
  return argument ? positionalValues(command.name(), argument, current) : NOTHING;
}

function positionAfter(program: Command, words: readonly string[]): Position {
  const position: Position = { command: program, operands: [], option: undefined, inGuest: false };
  for (const word of words) {
    if (position.inGuest) break;
    if (position.option) position.option = undefined;
    else if (word === "--") position.inGuest = true;
    else if (word.startsWith("-") && word !== "-") position.option = takesValue(position.command, word);
    else step(position, word);
  }
  return position;
}

function step(position: Position, word: string): void {
  const child =
    position.operands.length === 0 ? position.command.commands.find((each) => each.name() === word) : undefined;
  if (child) {
    position.command = child;
    return;
  }
  position.operands.push(word);
  // Their own options come before what they run.
  position.inGuest = runsOthers(position.command);
}

/** As commander has it, `_passThroughOptions`; it cannot be asked for. */
function runsOthers(command: Command): boolean {
  return "_passThroughOptions" in command && command._passThroughOptions === true;
}

/** The option that `word` is, when its value is the next word. */
function takesValue(command: Command, word: string): Option | undefined {
  if (word.startsWith("--")) {
    if (word.includes("=")) return undefined;
    const option = findOption(command, word);
    return option?.required ? option : undefined;
  }
  // Of several short ones in one word, such as -it, only the last can wait for its value.
  const option = findOption(command, `-${word.at(-1)}`);
  return option?.required ? option : undefined;
}

function findOption(command: Command, name: string): Option | undefined {
  return command.options.find(({ long, short }) => long === name || short === name);
}

async function valuesOf(option: Option): Promise<Completion> {
  if (option.argChoices) return { candidates: option.argChoices.map((value) => ({ value })), files: false };
  return optionValues(option);
}

function flagsOf(command: Command, current: string): Candidate[] {
  const options = command.createHelp().visibleOptions(command);
  const long = current.startsWith("--") || current === "-";
  return options.flatMap(({ long: name, short, description }) => {
    const value = long ? name : short;
    return value ? [{ value, about: description }] : [];
  });
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const all = command.registeredArguments;
  const last = all.at(-1);
  return all[index] ?? (last?.variadic ? last : undefined);
}
