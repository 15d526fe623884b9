import { describe, expect, test } from "vitest";
import {
  buildScope,
  checkWarnings,
  evaluateStage,
  parseDockerfile,
  resolveFrom,
  unusedBuildArgs,
} from "../../src/dockerfile/index.js";
import { DockerfileError } from "../../src/errors.js";

function evaluate(text: string, buildArgs: Record<string, string> = {}) {
  const file = parseDockerfile(text);
  const scope = buildScope(file, { buildArgs, platform: { os: "linux", architecture: "amd64" } });
  const evaluated = file.stages.map((stage) => {
    resolveFrom(scope, stage);
    return evaluateStage(scope, stage, undefined);
  });
  const warnings = [...file.warnings, ...scope.warnings, ...evaluated.flatMap((each) => each.warnings)];
  return { file, scope, warnings };
}

describe("what cannot be parsed", () => {
  test.each<[string, RegExp]>([
    ["", /1:1: the file has no FROM/],
    ["# only a comment\n", /the file has no FROM/],
    ["ARG a=1\n", /the file has no FROM/],
    ["RUN x\nFROM y", /1:1: RUN comes before FROM/],
    ["ENV a=b", /ENV comes before FROM/],
    ["FROM x\nFORM y", /2:1: unknown instruction: FORM\n.*\n.*\n {2}Did you mean FROM\?/],
    ["FROM x\nZZZZZZZZ", /unknown instruction: ZZZZZZZZ\n {2}2 \| ZZZZZZZZ\n {4}\| \^$/],
    ["FROM x\nRUN a &&\nb", /3:1: unknown instruction: B/],
    ["FROM x\n#\\\n\\ \nBAD", /4:1: unknown instruction: BAD/],
    ["FROM", /FROM needs an image/],
    ["FROM a b", /one argument, or three/],
    ["FROM a AS", /one argument, or three/],
    ["FROM a AS b c", /one argument, or three/],
    ["FROM a OR b", /one argument, or three/],
    ["FROM a AS 1b", /"1b" cannot be the name of a stage/],
    ["FROM a AS b/c", /cannot be the name/],
    ["FROM a AS ä", /cannot be the name/],
    ["FROM --platfrom=x a", /1:6: FROM has no flag --platfrom=x\n.*\n.*\n {2}Did you mean --platform\?/],
    ["FROM x\nRUN", /RUN needs a command/],
    ["FROM x\nRUN []", /RUN needs a command/],
    ["FROM x\nCMD", /CMD needs a command/],
    ["FROM x\nENTRYPOINT", /ENTRYPOINT needs a command/],
    ['FROM x\nCMD ["a", 1]', /every argument is a string/],
    ["FROM x\nRUN [null]", /every argument is a string/],
    ["FROM x\nCOPY [[], 1]", /every argument is a string/],
    ["FROM x\nRUN --network=some a", /--network is default, none, host, not "some"/],
    ["FROM x\nRUN --network a", /--network needs a value/],
    ["FROM x\nRUN --network=none --network=none a", /2:20: --network is given twice/],
    ["FROM x\nRUN --device=a b", /RUN has no flag --device=a/],
    ["FROM x\nRUN --security=none b", /--security is sandbox, insecure/],
    ["FROM x\nUSER --x=1 a", /USER has no flag/],
    ["FROM x\nUSER", /USER needs an argument/],
    ["FROM x\nWORKDIR", /WORKDIR needs an argument/],
    ["FROM x\nSTOPSIGNAL", /STOPSIGNAL needs an argument/],
    ["FROM x\nMAINTAINER", /MAINTAINER needs an argument/],
    ["FROM x\nEXPOSE", /EXPOSE needs at least one/],
    ["FROM x\nVOLUME", /VOLUME needs at least one/],
    ["FROM x\nVOLUME []", /VOLUME needs at least one/],
    ['FROM x\nVOLUME [""]', /cannot be empty/],
    ["FROM x\nARG", /ARG needs at least one/],
    ["FROM x\nARG =a", /name of an ARG cannot be empty/],
    ["FROM x\nENV", /ENV needs at least one/],
    ["FROM x\nENV a", /ENV needs a name and a value/],
    ["FROM x\nENV a=b c", /2:9: "c" has no =/],
    ["FROM x\nENV =b", /name of an ENV cannot be empty/],
    ["FROM x\nLABEL a", /LABEL needs a name and a value/],
    ["FROM x\nSHELL bash -c", /SHELL is written in the JSON form/],
    ["FROM x\nSHELL []", /SHELL needs at least one/],
    ["FROM x\nSHELL", /JSON form/],
    ["FROM x\nCOPY a", /COPY needs a source and a destination/],
    ["FROM x\nCOPY", /COPY needs a source/],
    ["FROM x\nADD a", /ADD needs a source/],
    ["FROM x\nADD --from=y a b", /ADD has no flag --from=y/],
    ["FROM x\nCOPY --checksum=y a b", /COPY has no flag --checksum=y/],
    ["FROM x\nCOPY --from=$y a b", /2:6: variables are not expanded in --from/],
    ["FROM x\nCOPY --from= a b", /--from needs the name/],
    ["FROM x\nCOPY --link=maybe a b", /--link is true or false/],
    ["FROM x\nCOPY --chown a b", /--chown needs a value/],
    ["FROM x\nCOPY a <<E\nE", /a heredoc cannot be the destination/],
    ["FROM x\nCOPY <<a/b /c\na/b", /a heredoc's name is the name of a file/],
    ["FROM x\nCOPY <<'..' /c\n..", /name of a file/],
    ["FROM x\nRUN <<E\na", /2:5: the heredoc E has no end/],
    ["FROM x\nRUN <<A <<B\nA\n", /the heredoc B has no end/],
    ["FROM x\nONBUILD", /ONBUILD needs an instruction/],
    ["FROM x\nONBUILD ONBUILD RUN a", /ONBUILD cannot be the trigger/],
    ["FROM x\nonbuild from y", /FROM cannot be the trigger/],
    ["FROM x\nONBUILD MAINTAINER y", /MAINTAINER cannot be the trigger/],
    ["FROM x\nONBUILD RUNN y", /2:9: unknown instruction: RUNN/],
    ["FROM x\nHEALTHCHECK", /needs CMD or NONE/],
    ["FROM x\nHEALTHCHECK RUN x", /needs CMD or NONE/],
    ["FROM x\nHEALTHCHECK CMD", /needs a command/],
    ["FROM x\nHEALTHCHECK CMD []", /needs a command/],
    ["FROM x\nHEALTHCHECK NONE x", /no arguments/],
    ["FROM x\nHEALTHCHECK --interval=5 CMD x", /"5" is no time/],
    ["FROM x\nHEALTHCHECK --interval=1us CMD x", /at least 1ms/],
    ["FROM x\nHEALTHCHECK --interval=-1s CMD x", /at least 1ms/],
    ["FROM x\nHEALTHCHECK --retries=-1 CMD x", /--retries is a number/],
    ["FROM x\nHEALTHCHECK --retries=99999999999 CMD x", /--retries is a number/],
    ["# escape=x\nFROM a", /1:1: the escape character/],
    ["# escape=\\\n# escape=`\nFROM a", /2:1: there can be only one escape directive/],
    ["# check=foo=bar\nFROM a", /no setting of a check directive/],
    ["FROM a\nRUN \0", /2:1: the file has a NUL/],
  ])("%j", (text, message) => {
    expect(() => parseDockerfile(text)).toThrow(DockerfileError);
    expect(() => parseDockerfile(text)).toThrow(message);
  });

  test("a file without end", () => {
    expect(() => parseDockerfile("FROM a\n".repeat(2001))).toThrow(/more than 2000 instructions/);
    expect(() => parseDockerfile(`FROM a\nENV ${"a=b ".repeat(10_001)}`)).toThrow(/more than 10000 arguments/);
    expect(() => parseDockerfile(`FROM a\nCOPY ${"--exclude=a ".repeat(1001)} a b`)).toThrow(/more than 1000 flags/);
    expect(() => parseDockerfile("#".repeat(3_000_000))).toThrow(/larger than/);
  });
});

describe("what cannot be evaluated", () => {
  test.each<[string, RegExp]>([
    ["ENV a=${b", /2:7: \$\{b: syntax error: missing '}'/],
    ["ENV a='b", /2:7: 'b: a single quote is not closed/],
    ["USER x\nENV ok=1 \\\n  bad=${x:?required}", /4:7: \$\{x:\?required\}: x: required/],
    ["WORKDIR ${d:?no}", /2:9: .*d: no/],
    ['LABEL a="${x', /missing/],
    ["ENV ''=a", /cannot be the name of an ENV/],
    ["ENV $a=b", /cannot be the name of an ENV/],
    ["EXPOSE x", /2:8: "x" is no port/],
    ["EXPOSE 80/http", /no protocol/],
    ["EXPOSE 65536", /no port/],
    ["EXPOSE 9-8", /no port/],
    ["EXPOSE 1-2:3-5", /not of the same length/],
    ["EXPOSE a:1:2", /no IP address/],
    ["VOLUME $a", /the path of a VOLUME is empty/],
    ["STOPSIGNAL SIGNOT", /2:12: "SIGNOT" is no signal/],
    ["STOPSIGNAL 0", /no signal/],
    ["STOPSIGNAL 65", /no signal/],
    ["STOPSIGNAL RTMIN+31", /no signal/],
    ["COPY --chmod=888 a b", /2:14: "888" is no mode/],
    ["COPY --chmod=17777 a b", /no mode/],
    ["COPY --chmod=u+q a b", /no mode/],
    ["COPY a b c", /2:10: with several sources the destination is a folder\n.*\n.*\n {2}End it with a slash/],
    ["COPY a <<E c\nE", /destination is a folder/],
    ["COPY http://x/y z", /COPY cannot take http:\/\/x\/y/],
    ["COPY git@github.com:a/b.git z", /COPY cannot take git@/],
    ["ADD --checksum=sha256:a http://x/a b", /2:16: "sha256:a" is no checksum/],
    ["ADD --checksum=main https://x/y.git b", /"main" is no checksum/],
    ["COPY --parents <<a b\na", /--parents and a heredoc/],
    ["ADD --checksum=sha256:a b c", /--checksum needs one source/],
    ["ADD --checksum=sha256:a http://x/a http://x/b c/", /--checksum needs one source/],
    ["RUN --mount=type=tmpfs,target=$x a", /2:\d+: a tmpfs mount needs a target/],
    ["RUN --mount=type=tmpfs,target=/x/.. a", /cannot hide the whole file system/],
    ["RUN --mount=type=$t,target=/a b", /"" is no type of a mount/],
  ])("%j", (text, message) => {
    const run = () => evaluate(`FROM scratch\n${text}`);
    expect(run).toThrow(DockerfileError);
    expect(run).toThrow(message);
  });

  test("a variable that doubles with every line ends in an error, not in the machine's memory", () => {
    const lines = Array.from({ length: 40 }, () => "ENV a=$a$a");
    expect(() => evaluate(`FROM scratch\nENV a=0123456789\n${lines.join("\n")}`)).toThrow(/longer than 131072/);
  });
});

describe("warnings", () => {
  test.each<[string, string[]]>([
    ["FROM x\nRUN a", []],
    ["FROM x\nRUN a \\\n\n b", ["3 NoEmptyContinuation"]],
    ["FROM x\nRun a", ["2 ConsistentInstructionCasing"]],
    ["from x\nrun a", []],
    ["FROM x as y", ["1 FromAsCasing"]],
    ["from x as y", []],
    ["FROM x AS Y", ["1 StageNameCasing"]],
    ["FROM x AS a\nFROM x AS a", ["2 DuplicateStageName"]],
    ["FROM x AS scratch", ["1 ReservedStageName"]],
    ["FROM x\nMAINTAINER a", ["2 MaintainerDeprecated"]],
    ["FROM x\nENV a b", ["2 LegacyKeyValueFormat"]],
    ["FROM x\nCMD a", ["2 JSONArgsRecommended"]],
    ['FROM x\nSHELL ["a"]\nCMD a', []],
    ['FROM x\nCMD ["a"]\nCMD ["b"]', ["3 MultipleInstructionsDisallowed"]],
    ["FROM x\nHEALTHCHECK NONE\nHEALTHCHECK NONE", ["3 MultipleInstructionsDisallowed"]],
    ["FROM x\nENV a=$b", ["2 UndefinedVar"]],
    ["FROM x\nARG b\nENV a=$b", []],
    ["FROM x\nENV a=$http_proxy", []],
    ["FROM x\nRUN echo $b", []],
    ["FROM x:$b", ["1 UndefinedArgInFrom"]],
    ["ARG b\nFROM x:$b", []],
    ["FROM --platform=$BUILDPLATFORM x", []],
    ["FROM x\nWORKDIR a\nWORKDIR b", ["2 WorkdirRelativePath"]],
    ["FROM x\nWORKDIR /a\nWORKDIR b", []],
    ["FROM x\nARG API_TOKEN", ["2 SecretsUsedInArgOrEnv"]],
    ["FROM x\nENV GPG_KEY=1", ["2 SecretsUsedInArgOrEnv"]],
    ["FROM x\nENV PUBLIC_KEY=1 KEYBOARD=2", []],
    ["# check=skip=UndefinedVar\nFROM x\nENV a=$b", []],
    ["# check=skip=all\nFROM x\nENV a $b", []],
  ])("%j", (text, expected) => {
    const { file, warnings } = evaluate(text);
    expect(checkWarnings(file, warnings).map(({ rule, location }) => `${location.line} ${rule}`)).toEqual(expected);
  });

  test("suggest the variable that was meant", () => {
    const { warnings } = evaluate("FROM x\nENV version=1\nENV a=$verison");
    expect(warnings).toMatchObject([
      { message: "$verison is not set: did you mean $version?", location: { line: 3, column: 8 } },
    ]);
  });

  test("are errors when the file says so", () => {
    const { file, warnings } = evaluate("# check=error=true\nFROM x\nENV a $b");
    expect(() => checkWarnings(file, warnings)).toThrow(/3:1: LegacyKeyValueFormat/);
  });
});

test("build arguments that nobody uses", () => {
  const args = {
    a: "1",
    b: "2",
    c: "3",
    HTTP_PROXY: "x",
    TARGETARCH: "y",
    BUILDKIT_X: "z",
    SOURCE_DATE_EPOCH: "0",
    d: "4",
    e: "5",
  };
  const { scope } = evaluate("ARG a\nFROM x\nARG b=0\nONBUILD ARG d\nENV c=$c", args);
  expect(unusedBuildArgs(scope)).toEqual(["c", "e"]);
});
