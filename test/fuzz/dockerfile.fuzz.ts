import { expect, test } from "vitest";
import {
  buildScope,
  compileIgnoreFile,
  type EvaluatedStage,
  ExpansionError,
  evaluateStage,
  expandWord,
  parseDockerfile,
  planBuild,
} from "../../src/dockerfile/index.js";
import { DockerfileError } from "../../src/errors.js";
import { pseudoRandom } from "../guest/frame-builder.js";

const SECONDS = Number(process.env.SUPERMACHINE_FUZZ_SECONDS ?? 600);
/** The first round of a run; a failure names the round, which can then be had alone. */
const FIRST = Number(process.env.SUPERMACHINE_FUZZ_SEED ?? Date.now() % 1e6);

const INSTRUCTIONS =
  "FROM ARG ENV RUN COPY ADD CMD ENTRYPOINT LABEL EXPOSE USER WORKDIR VOLUME SHELL STOPSIGNAL HEALTHCHECK ONBUILD MAINTAINER";
const WORDS = [
  ...INSTRUCTIONS.split(" ").map((name) => `\n${name} `),
  "\n# escape=`\n",
  "# check=skip=all;error=true\n",
  "\nFROM scratch AS a\n",
  "\nFROM a AS b\n",
  "--from=a ",
  "--from=0 ",
  "--mount=type=",
  "cache",
  "secret",
  "bind",
  "tmpfs",
  "ssh",
  ",target=/x",
  ",id=y",
  ",from=a",
  ",size=1g",
  "--chmod=",
  "--chown=",
  "--exclude=",
  "--link ",
  "--parents ",
  "--interval=1s ",
  "--network=none ",
  "--platform=linux/amd64 ",
  "CMD ",
  "NONE",
  "AS ",
  "a=b ",
  "$a ",
  "${a",
  ":-",
  ":+",
  ":?",
  "#",
  "##",
  "%",
  "%%",
  "/",
  "//",
  "}",
  "*",
  "?",
  "[",
  "]",
  "<<E ",
  "<<-'E' ",
  "\nE\n",
  "\n\tE\n",
  "\\\n",
  "\\",
  "`",
  "'",
  '"',
  " ",
  "\t",
  "\r\n",
  "\n",
  "\n\n",
  "\n#c\n",
  '["a", "b"]',
  "80/tcp ",
  "9-10",
  "SIGTERM",
  "/x/../y",
  ".",
  "!",
  "**/",
  "世",
  "\u0000",
  "\uFEFF",
  "\uD800",
  "http://x/y.git#a:b ",
  "0",
  "7".repeat(20),
];
const ENV = new Map([
  ["a", "a*b/c.d"],
  ["b", ""],
  ["E", "x y"],
]);

/** The text of a round: pieces of Dockerfiles in any order. */
function textOf(round: number): string {
  const random = pseudoRandom(round);
  const words = Array.from({ length: 1 + random(60) }, () => WORDS[random(WORDS.length)]);
  return (random(3) ? "FROM scratch\n" : "") + words.join("");
}

/** Runs it, and lets pass what a mistake in a Dockerfile is answered with. */
function unlessWrong(mistakes: (abstract new (...args: never[]) => Error)[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!mistakes.some((mistake) => error instanceof mistake)) throw error;
  }
}

function evaluateAll(text: string): void {
  const scope = buildScope(parseDockerfile(text));
  const done = new Map<number, EvaluatedStage>();
  for (const { stage, base } of planBuild(scope).stages) {
    const evaluated = evaluateStage(scope, stage, base.kind === "stage" ? done.get(base.index) : undefined);
    expect(evaluated.steps.length).toBeGreaterThanOrEqual(stage.instructions.length);
    done.set(stage.index, evaluated);
  }
}

test(`no text is answered with anything but a result or a mistake with its place (from round ${FIRST})`, () => {
  const end = Date.now() + SECONDS * 1000;
  let round = FIRST;
  try {
    for (; Date.now() < end; round++) {
      const text = textOf(round);
      unlessWrong([DockerfileError], () => evaluateAll(text));
      unlessWrong([DockerfileError], () => void compileIgnoreFile(text, "x").matches("a/b/c"));
      unlessWrong([ExpansionError], () => void expandWord(text, ENV));
    }
  } catch (error) {
    throw new Error(`round ${round}: ${JSON.stringify(textOf(round))}`, { cause: error });
  }
});
