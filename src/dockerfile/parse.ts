import { type Directives, readDirectives } from "./directives.js";
import type { ArgInstruction, FromInstruction, Instruction } from "./instruction.js";
import { dockerfileError, type Location } from "./location.js";
import { parseInstruction } from "./parse-instruction.js";
import { SourceText } from "./source-text.js";
import { StatementReader } from "./statement-reader.js";
import type { DockerfileWarning, Warn } from "./warning.js";

const RESERVED = ["scratch", "context"];

/** What can follow FROM. */
export type StageInstruction = Exclude<Instruction, FromInstruction>;

/** One stage of a build: FROM and what follows it. */
export interface Stage {
  /** From 0. */
  index: number;
  /** In lower case. */
  name: string | undefined;
  /** The image or stage of FROM, its variables not expanded yet. */
  base: string;
  platform: string | undefined;
  from: FromInstruction;
  /** Without FROM. */
  instructions: StageInstruction[];
}

/** A parsed Dockerfile, nothing in it expanded. */
export interface Dockerfile {
  file: string;
  directives: Directives;
  /** ARG before the first FROM: for FROM, and for stages that declare them again. */
  globalArgs: ArgInstruction[];
  stages: Stage[];
  warnings: DockerfileWarning[];
}

/**
 * Parses a Dockerfile.
 * @param options.fileName for messages
 * @throws DockerfileError that shows the line
 */
export function parseDockerfile(text: string, options: { fileName?: string | undefined } = {}): Dockerfile {
  const source = new SourceText(text, options.fileName ?? "Dockerfile");
  const directives = readDirectives(source.lines, source.file);
  const warnings: DockerfileWarning[] = [];
  const warn: Warn = (rule, message, location) => warnings.push({ rule, message, location });
  const file: Dockerfile = { file: source.file, directives, globalArgs: [], stages: [], warnings };
  const reader = new StatementReader(source, { escape: directives.escape, warn });
  for (let statement = reader.next(); statement !== undefined; statement = reader.next()) {
    add(file, parseInstruction(statement));
    if (/[a-z]/.test(statement.keyword) && /[A-Z]/.test(statement.keyword)) {
      warn("ConsistentInstructionCasing", `${statement.keyword} is written in mixed case`, statement.location);
    }
  }
  if (file.stages.length === 0)
    throw reader.fail("the file has no FROM", "A Dockerfile begins with FROM IMAGE, or FROM scratch.");
  return file;
}

/**
 * Parses the trigger that an image has from ONBUILD.
 * @param from the FROM that it came with, where mistakes in it are shown
 * @throws DockerfileError
 */
export function parseTrigger(expression: string, from: Location): StageInstruction {
  const source = new SourceText(expression, from.file);
  const reader = new StatementReader(source, { escape: "\\", warn: () => {}, place: from });
  const statement = reader.next();
  if (statement === undefined || reader.next() !== undefined)
    throw reader.fail("a trigger of ONBUILD is one instruction");
  const trigger = parseInstruction(statement);
  if (trigger.name !== "FROM" && trigger.name !== "ONBUILD" && trigger.name !== "MAINTAINER") return trigger;
  throw reader.fail(`${trigger.name} cannot be the trigger of ONBUILD`);
}

function add(file: Dockerfile, instruction: Instruction): void {
  const stage = file.stages.at(-1);
  if (instruction.name === "FROM") {
    const { base, as, platform } = instruction;
    warnOfName(file, instruction);
    file.stages.push({ index: file.stages.length, name: as, base, platform, from: instruction, instructions: [] });
  } else if (stage !== undefined) stage.instructions.push(instruction);
  else if (instruction.name === "ARG") file.globalArgs.push(instruction);
  else
    throw dockerfileError(
      instruction.location,
      `${instruction.name} comes before FROM`,
      "Only ARG can come before the first FROM.",
    );
}

function warnOfName(file: Dockerfile, { as, location }: FromInstruction): void {
  if (as === undefined) return;
  const warn = (rule: DockerfileWarning["rule"], message: string) => file.warnings.push({ rule, message, location });
  if (file.stages.some(({ name }) => name === as)) warn("DuplicateStageName", `another stage is called ${as} too`);
  if (RESERVED.includes(as)) warn("ReservedStageName", `${as} means something else than a stage`);
}
