import { type AddSource, addSource } from "./add-source.js";
import { isMode } from "./chmod.js";
import { heredocContent } from "./heredoc.js";
import type { AddInstruction, CopyInstruction, Heredoc } from "./instruction.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import { joinPath, type StageState } from "./stage-state.js";
import type { CopyStep } from "./step.js";

/** A heredoc's content is no variable of a process: it may be larger. */
const MAX_DOCUMENT = 16 * 1024 * 1024;
const WEB_CHECKSUM = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/i;
const GIT_CHECKSUM = /^[0-9a-f]{7,40}$/i;

type Evaluated = Omit<CopyStep, "instruction" | "isTrigger" | "title" | "config">;

/** @throws DockerfileError */
export function evaluateCopy(state: StageState, instruction: CopyInstruction | AddInstruction): Evaluated {
  const at = instruction.location;
  const expand = (word: string) => state.expand(word, at);
  const optional = (word: string | undefined) => (word === undefined ? undefined : expand(word) || undefined);
  const isAdd = instruction.name === "ADD";
  const sources = instruction.sources.map(expand);
  const destination = expand(instruction.destination);
  const chmod = optional(instruction.chmod);
  if (chmod !== undefined && !isMode(chmod)) {
    throw dockerfileError(
      locateWord(at, instruction.chmod ?? ""),
      `${JSON.stringify(chmod)} is no mode`,
      "Write 644, or u=rw,go=r.",
    );
  }
  const evaluated: Evaluated = {
    kind: isAdd ? "add" : "copy",
    from: isAdd ? undefined : instruction.from,
    sources,
    documents: instruction.heredocs.map((heredoc) => document(state, heredoc, instruction)),
    destination: absolute(state, destination),
    chown: optional(instruction.chown),
    chmod,
    link: instruction.link,
    parents: isAdd ? false : instruction.parents,
    exclude: instruction.exclude.map(expand),
    checksum: isAdd ? optional(instruction.checksum) : undefined,
    keepGitDir: isAdd ? instruction.keepGitDir : false,
    unpack: isAdd ? instruction.unpack : undefined,
    createdBy: "",
  };
  check(evaluated, instruction);
  return { ...evaluated, createdBy: history(evaluated, destination) };
}

function check(step: Evaluated, instruction: CopyInstruction | AddInstruction): void {
  const at = instruction.location;
  const count = step.sources.length + step.documents.length;
  if (count > 1 && !step.destination.endsWith("/")) {
    const hint = "End it with a slash.";
    throw dockerfileError(
      locateWord(at, instruction.destination),
      "with several sources the destination is a folder",
      hint,
    );
  }
  const remote = step.sources.find((source) => addSource(source).kind !== "path");
  if (step.kind === "copy" && remote !== undefined) {
    throw dockerfileError(locateWord(at, remote), `COPY cannot take ${remote}`, "ADD takes URLs and git repositories.");
  }
  if (step.checksum !== undefined && (count !== 1 || remote === undefined)) {
    throw dockerfileError(at, "--checksum needs one source, which is a URL or a git repository");
  }
  if (step.checksum !== undefined) checkChecksum(step.checksum, addSource(remote ?? "").kind, instruction);
  if (step.parents && step.documents.length > 0) {
    throw dockerfileError(at, "--parents and a heredoc do not go together", "Copy the heredoc by a COPY of its own.");
  }
}

function checkChecksum(checksum: string, kind: AddSource["kind"], { location }: { location: Location }): void {
  const isGit = kind === "git";
  const form = isGit ? GIT_CHECKSUM : WEB_CHECKSUM;
  if (form.test(checksum)) return;
  const hint = isGit ? "It is a commit: 7 to 40 hexadecimal digits." : "Write sha256: and 64 hexadecimal digits.";
  throw dockerfileError(locateWord(location, checksum), `${JSON.stringify(checksum)} is no checksum`, hint);
}

function document(state: StageState, heredoc: Heredoc, instruction: CopyInstruction | AddInstruction) {
  const content = heredocContent(heredoc);
  if (!heredoc.expand) return { name: heredoc.name, content };
  // The backslash escapes in a heredoc, whatever the file's escape character is.
  const options = { plainQuotes: true, escape: "\\", maxLength: MAX_DOCUMENT };
  return { name: heredoc.name, content: state.expand(content, instruction.location, options) };
}

function absolute(state: StageState, path: string): string {
  const whole = joinPath(state.workdir, path);
  const isFolder = path === "" || path === "." || path.endsWith("/") || path.endsWith("/.");
  return isFolder && whole !== "/" ? `${whole}/` : whole;
}

function history(step: Evaluated, destination: string): string {
  const flags = [
    step.parents ? "--parents" : "",
    step.chown && `--chown=${step.chown}`,
    step.chmod && `--chmod=${step.chmod}`,
  ];
  const documents = step.documents.map(({ name }) => `<<${name}`);
  return [step.kind.toUpperCase(), ...flags.filter(Boolean), ...step.sources, ...documents, destination].join(" ");
}
