import type { Instruction, InstructionName, KeyValue, OnbuildInstruction } from "./instruction.js";
import { parseAdd, parseCopy } from "./parse-copy.js";
import { parseHealthcheck } from "./parse-healthcheck.js";
import { parseRun } from "./parse-run.js";
import { splitFirst, splitList, splitWords } from "./split-words.js";
import {
  commandLine,
  FlagValues,
  jsonArguments,
  listArguments,
  notTooMany,
  onlyArgument,
  type Statement,
} from "./statement.js";
import { nearest } from "./suggest.js";

type Parser<Name extends InstructionName> = (statement: Statement) => Extract<Instruction, { name: Name }>;

const STAGE_NAME = /^[a-z][a-z0-9._-]*$/;

const PARSERS: { [Name in InstructionName]: Parser<Name> } = {
  FROM: parseFrom,
  RUN: parseRun,
  COPY: parseCopy,
  ADD: parseAdd,
  HEALTHCHECK: parseHealthcheck,
  ONBUILD: parseOnbuild,
  ARG: (statement) => ({ ...plain(statement, "ARG"), args: argumentsOf(statement) }),
  ENV: (statement) => ({ ...plain(statement, "ENV"), env: keyValues(statement) }),
  LABEL: (statement) => ({ ...plain(statement, "LABEL"), labels: keyValues(statement) }),
  CMD: (statement) => ({ ...plain(statement, "CMD"), command: commandLine(statement) }),
  ENTRYPOINT: (statement) => ({ ...plain(statement, "ENTRYPOINT"), command: commandLine(statement) }),
  EXPOSE: (statement) => ({
    ...plain(statement, "EXPOSE"),
    ports: atLeastOne(statement, notTooMany(statement, splitList(statement.rest))),
  }),
  USER: (statement) => ({ ...plain(statement, "USER"), user: onlyArgument(statement) }),
  WORKDIR: (statement) => ({ ...plain(statement, "WORKDIR"), path: onlyArgument(statement) }),
  STOPSIGNAL: (statement) => ({ ...plain(statement, "STOPSIGNAL"), signal: onlyArgument(statement) }),
  VOLUME: (statement) => ({ ...plain(statement, "VOLUME"), paths: volumes(statement) }),
  SHELL: (statement) => ({ ...plain(statement, "SHELL"), shell: shell(statement) }),
  MAINTAINER: (statement) => {
    statement.warn("MaintainerDeprecated", "MAINTAINER is deprecated: use LABEL instead", statement.location);
    return { ...plain(statement, "MAINTAINER"), maintainer: onlyArgument(statement) };
  },
};

const NAMES = Object.keys(PARSERS);

/** Parses one instruction. @throws DockerfileError */
export function parseInstruction(statement: Statement): Instruction {
  if (isInstructionName(statement.name)) return PARSERS[statement.name](statement);
  const near = nearest(statement.name, NAMES);
  throw statement.fail(`unknown instruction: ${statement.name}`, near && `Did you mean ${near}?`);
}

export function isInstructionName(name: string): name is InstructionName {
  return Object.hasOwn(PARSERS, name);
}

/** What every instruction has; and for those without flags, the check that there are none. */
function plain<Name extends InstructionName>(statement: Statement, name: Name) {
  new FlagValues(statement);
  return { name, location: statement.location, text: statement.text };
}

function parseFrom(statement: Statement): Extract<Instruction, { name: "FROM" }> {
  const platform = new FlagValues(statement, { once: ["platform"] }).text("platform");
  const [base, word, name, ...more] = splitList(statement.rest);
  const { location, text } = statement;
  if (base === undefined)
    throw statement.fail("FROM needs an image", "Write FROM IMAGE, or FROM scratch for an empty start.");
  if (word === undefined) return { name: "FROM", base, as: undefined, platform, location, text };
  if (word.toLowerCase() !== "as" || name === undefined || more.length > 0) {
    throw statement.fail("FROM has one argument, or three as in FROM IMAGE AS NAME");
  }
  const as = name.toLowerCase();
  if (!STAGE_NAME.test(as)) {
    const hint = "Begin with a letter; then letters, digits, dots, dashes and underscores.";
    throw statement.fail(`${JSON.stringify(name)} cannot be the name of a stage`, hint);
  }
  if (as !== name) statement.warn("StageNameCasing", `the stage name ${name} is read in lower case`, location);
  const keyword = text.slice(0, "FROM".length);
  if ((keyword === keyword.toLowerCase()) !== (word === word.toLowerCase())) {
    statement.warn("FromAsCasing", `${keyword} and ${word} are not in the same case`, location);
  }
  return { name: "FROM", base, as, platform, location, text };
}

function parseOnbuild(statement: Statement): OnbuildInstruction {
  const common = plain(statement, "ONBUILD");
  const [name] = splitFirst(statement.rest);
  const upper = name.toUpperCase();
  if (name === "") throw statement.fail("ONBUILD needs an instruction");
  if (["ONBUILD", "FROM", "MAINTAINER"].includes(upper))
    throw statement.fail(`${upper} cannot be the trigger of ONBUILD`);
  const trigger = parseInstruction(statement.sub());
  const documents = statement.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`);
  return { ...common, expression: statement.rest + documents.join(""), trigger };
}

function argumentsOf(statement: Statement): { key: string; value: string | undefined }[] {
  return atLeastOne(statement, notTooMany(statement, splitWords(statement.rest, statement.escape))).map((word) => {
    const at = word.indexOf("=");
    if (at === 0) throw statement.fail("the name of an ARG cannot be empty");
    return at < 0 ? { key: word, value: undefined } : { key: word.slice(0, at), value: word.slice(at + 1) };
  });
}

function keyValues(statement: Statement): KeyValue[] {
  const words = atLeastOne(statement, notTooMany(statement, splitWords(statement.rest, statement.escape)));
  if (!words[0]?.includes("=")) return [oldKeyValue(statement)];
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0) {
      const hint = "Write NAME=VALUE; quote a value with spaces in it.";
      throw statement.fail(`${JSON.stringify(word)} has no =`, hint, Math.max(0, statement.text.indexOf(word)));
    }
    if (at === 0) throw statement.fail(`the name of an ${statement.name} cannot be empty`);
    return { key: word.slice(0, at), value: word.slice(at + 1) };
  });
}

/** `ENV NAME VALUE`, where the value goes on to the end of the line. */
function oldKeyValue(statement: Statement): KeyValue {
  const [key, value] = splitFirst(statement.rest);
  if (value === undefined)
    throw statement.fail(`${statement.name} needs a name and a value`, `Write ${statement.name} NAME=VALUE.`);
  const form = `${statement.name} ${key}=VALUE`;
  statement.warn("LegacyKeyValueFormat", `${form} is better than the old form without =`, statement.location);
  return { key, value };
}

function volumes(statement: Statement): string[] {
  const paths = atLeastOne(statement, listArguments(statement)).map((path) => path.trim());
  if (paths.includes("")) throw statement.fail("the path of a VOLUME cannot be empty");
  return paths;
}

function shell(statement: Statement): string[] {
  const argv = jsonArguments(statement);
  if (argv === undefined) throw statement.fail("SHELL is written in the JSON form", 'Write SHELL ["/bin/bash", "-c"].');
  return atLeastOne(statement, argv);
}

function atLeastOne<T>(statement: Statement, list: T[]): T[] {
  if (list.length > 0) return list;
  throw statement.fail(`${statement.name} needs at least one argument`);
}
