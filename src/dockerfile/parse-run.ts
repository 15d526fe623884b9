import { heredocContent, parseHeredocStart } from "./heredoc.js";
import type { Heredoc, MountFlag, RunInstruction } from "./instruction.js";
import { MountError, mountSource, parseMount } from "./mount.js";
import { commandLine, FlagValues, type Statement } from "./statement.js";
import { hasVariable } from "./variables.js";

/** Where a script with an interpreter of its own is while it runs. */
const SCRIPT_FOLDER = "/dev/pipes";

/** @throws DockerfileError */
export function parseRun(statement: Statement): RunInstruction {
  const flags = new FlagValues(statement, { once: ["network", "security"], many: ["mount"] });
  const command = commandLine(statement);
  if (command.form === "exec" && command.argv.length === 0) throw statement.fail("RUN needs a command");
  return {
    name: "RUN",
    command,
    heredocs: statement.heredocs,
    mounts: statement.flags
      .filter(({ name }) => name === "mount")
      .map((flag, index) => mount(statement, flags, index, flag.offset)),
    network: flags.choice("network", ["default", "none", "host"]),
    security: flags.choice("security", ["sandbox", "insecure"]),
    location: statement.location,
    text: statement.text,
  };
}

/** A mount without variables is checked now, so that a mistake shows before anything is built. */
function mount(statement: Statement, flags: FlagValues, index: number, offset: number): MountFlag {
  const text = flags.texts("mount")[index] ?? "";
  try {
    if (!hasVariable(text)) parseMount(text, (value) => value);
    return { text, from: mountSource(text) };
  } catch (error) {
    if (error instanceof MountError) throw statement.fail(error.message, error.hint, offset);
    throw error;
  }
}

/** What the shell is given, and a file that has to be there for it. */
export interface RunScript {
  script: string;
  file: { path: string; content: string } | undefined;
}

/**
 * The script of a RUN in the shell form. One heredoc alone is the script itself, or a program when it begins with `#!`. Any others
 * are for the shell to read, with the line as it is.
 */
export function runScript(text: string, heredocs: readonly Heredoc[]): RunScript {
  const [first] = heredocs;
  if (first === undefined) return { script: text, file: undefined };
  if (parseHeredocStart(text) === undefined) {
    const documents = heredocs.map(({ name, content }) => `\n${content}${name}`);
    return { script: text + documents.join(""), file: undefined };
  }
  const content = heredocContent(first);
  if (!content.startsWith("#!")) return { script: content, file: undefined };
  const path = `${SCRIPT_FOLDER}/${/^[\w.-]*\w[\w.-]*$/.test(first.name) ? first.name : "script"}`;
  return { script: path, file: { path, content } };
}
