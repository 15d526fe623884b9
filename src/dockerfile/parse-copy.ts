import { parseHeredocStart } from "./heredoc.js";
import type { AddInstruction, CopyInstruction, Heredoc } from "./instruction.js";
import { FlagValues, listArguments, type Statement } from "./statement.js";
import { hasVariable } from "./variables.js";

/** @throws DockerfileError */
export function parseCopy(statement: Statement): CopyInstruction {
  const flags = new FlagValues(statement, { once: ["from", "chown", "chmod", "link", "parents"], many: ["exclude"] });
  const from = flags.text("from");
  if (from !== undefined && hasVariable(from)) {
    throw flags.fail(
      "from",
      "variables are not expanded in --from",
      "Give the image a name with FROM IMAGE AS NAME, where they are.",
    );
  }
  if (from === "") throw flags.fail("from", "--from needs the name of a stage, an image or a context");
  return {
    name: "COPY",
    ...common(statement, flags),
    from,
    parents: flags.boolean("parents") ?? false,
  };
}

/** @throws DockerfileError */
export function parseAdd(statement: Statement): AddInstruction {
  const once = ["chown", "chmod", "link", "checksum", "keep-git-dir", "unpack"];
  const flags = new FlagValues(statement, { once, many: ["exclude"] });
  return {
    name: "ADD",
    ...common(statement, flags),
    checksum: flags.text("checksum"),
    keepGitDir: flags.boolean("keep-git-dir") ?? false,
    unpack: flags.boolean("unpack"),
  };
}

function common(statement: Statement, flags: FlagValues) {
  const args = listArguments(statement);
  const destination = args.pop();
  if (destination === undefined || args.length === 0) {
    throw statement.fail(
      `${statement.name} needs a source and a destination`,
      `Write ${statement.name} SOURCE... DESTINATION.`,
    );
  }
  if (isHeredoc(statement, destination)) throw statement.fail("a heredoc cannot be the destination");
  return {
    sources: args.filter((arg) => !isHeredoc(statement, arg)),
    heredocs: args.map((arg) => heredocOf(statement, arg)).filter((heredoc) => heredoc !== undefined),
    destination,
    chown: flags.text("chown"),
    chmod: flags.text("chmod"),
    link: flags.boolean("link") ?? false,
    exclude: flags.texts("exclude"),
    location: statement.location,
    text: statement.text,
  };
}

function isHeredoc(statement: Statement, word: string): boolean {
  return heredocOf(statement, word) !== undefined;
}

/** The last one of that name, when there are several. */
function heredocOf(statement: Statement, word: string): Heredoc | undefined {
  const start = parseHeredocStart(word);
  const heredoc = start && statement.heredocs.findLast(({ name }) => name === start.name);
  if (heredoc === undefined) return undefined;
  if (/^\.{0,2}$|\//.test(heredoc.name)) {
    throw statement.fail(`a heredoc's name is the name of a file, which ${JSON.stringify(heredoc.name)} is not`);
  }
  return heredoc;
}
