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

/** Right by themselves, so that what is spliced in is wrong in the middle of things. */
const LINES = [
  "ARG a=1",
  "ENV a=$a b=${b:-x} c='d e'",
  "RUN <<E cat\nx $y\nE",
  "RUN --mount=type=cache,target=/x,id=$a --network=none x",
  'RUN ["a", "b"]',
  "COPY --from=0 --chmod=755 a* b/",
  "COPY <<E <<'F' /x/\n$a\nE\n$b\nF",
  "ADD --checksum=$c http://x/y z",
  "LABEL a b c",
  "EXPOSE 80 $a 9-10/udp",
  "WORKDIR ${a#1}/../x",
  "ONBUILD RUN <<E\nx\nE",
  "HEALTHCHECK --interval=1s CMD x \\\n  y",
  "USER ${a/1/2}:b",
  'VOLUME ["/a", "b"]',
  "FROM scratch AS a",
  "FROM a AS b",
  'SHELL ["a"]',
  "CMD a",
];

/** The text of a round: instructions with some of their characters replaced, or pieces of Dockerfiles in any order. */
function textOf(round: number): string {
  const random = pseudoRandom(round);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  if (random(4) === 0) return Array.from({ length: 1 + random(60) }, () => pick(WORDS)).join("");
  let text = ["FROM scratch", ...Array.from({ length: random(12) }, () => pick(LINES))].join("\n");
  for (let count = random(4); count > 0; count--) {
    const at = random(text.length);
    text = text.slice(0, at) + pick(WORDS) + text.slice(at + random(4));
  }
  return text;
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
