import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildScope,
  type EvaluatedStage,
  evaluateStage,
  parseDockerfile,
  planBuild,
} from "../../src/dockerfile/index.js";
import { Buildah } from "../support/conformance/buildah.js";

const FIELDS = [
  "User",
  "WorkingDir",
  "Env",
  "Entrypoint",
  "Cmd",
  "ExposedPorts",
  "Volumes",
  "Labels",
  "StopSignal",
  "Shell",
  "OnBuild",
  "Healthcheck",
] as const;

let folder: string;
let buildah: Buildah;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "oracle-"));
  buildah = new Buildah(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What both say, in one form: nothing is the same as empty, and Go's zero the same as nothing. */
function comparable(config: Record<string, unknown>): Record<string, unknown> {
  const labels = Object.entries((config.Labels ?? {}) as object).filter(([name]) => name !== "io.buildah.version");
  const all = { ...config, Labels: Object.fromEntries(labels) } as Record<string, unknown>;
  const isEmpty = (value: unknown) => value === undefined || value === null || value === "" || value === 0;
  const filled = (value: object) => Object.fromEntries(Object.entries(value).filter(([, each]) => !isEmpty(each)));
  const health = all.Healthcheck ? filled(all.Healthcheck) : undefined;
  return Object.fromEntries(
    FIELDS.map((field) => [field, field === "Healthcheck" ? health : all[field]]).filter(
      ([, value]) => !isEmpty(value) && Object.keys(value as object | string).length > 0,
    ),
  );
}

async function theirs(dockerfile: string, buildArgs: Record<string, string>): Promise<Record<string, unknown>> {
  return comparable((await buildah.build({ context: folder, dockerfile, buildArgs })).config);
}

function ours(text: string, buildArgs: Record<string, string>): Record<string, unknown> {
  const scope = buildScope(parseDockerfile(text), { buildArgs });
  const done = new Map<number, EvaluatedStage>();
  for (const { stage, base } of planBuild(scope).stages) {
    done.set(stage.index, evaluateStage(scope, stage, base.kind === "stage" ? done.get(base.index) : undefined));
  }
  return comparable([...done.values()].at(-1)!.image.config as Record<string, unknown>);
}

describe("the configuration is the one that buildah makes", () => {
  it.each<[string, Record<string, string>?]>([
    ["ENV a=1 b=2\nENV a=3"],
    ["ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc"],
    ['ENV a=\'x $y\' b="$a." c=d\\ e f="g\\"h"'],
    ["ENV a b  c"],
    ["ENV a=${x:-y}\nENV b=${a:+z} c=${u:+n} d=${a:-n}"],
    ["ENV a=\\$b c='$d' e=\"\\$f\""],
    ["ENV a=1 \\\n  # comment\n  b=2"],
    ["ARG a=1\nENV b=$a"],
    ["ARG a=1\nENV b=$a", { a: "2" }],
    ["ARG a\nENV b=${a:-none}", { a: "given" }],
    ["ARG a=1\nENV a=2\nENV b=$a", { a: "3" }],
    ["CMD a $b"],
    ['CMD ["a", "$b"]'],
    ['ENTRYPOINT ["a"]\nCMD ["b"]'],
    ['CMD ["b"]\nENTRYPOINT ["a"]'],
    ["ENTRYPOINT a b"],
    ["WORKDIR /a\nWORKDIR b\nWORKDIR ../c"],
    ["WORKDIR a"],
    ["ENV d=/x\nWORKDIR $d/y"],
    ["USER a:b"],
    ["ENV u=me\nUSER ${u}"],
    ["LABEL a=1 \"b c\"='d e'\nLABEL a=2"],
    ["ENV v=1\nLABEL v=$v w='$v'"],
    ["LABEL a b c"],
    ["EXPOSE 80 53/udp"],
    ["ARG p=5000\nEXPOSE ${p}/udp"],
    ["VOLUME /a /b"],
    ['ENV v=/x\nVOLUME ["$v/y", "/z"]'],
    ["STOPSIGNAL SIGKILL"],
    ["STOPSIGNAL 9"],
    ["HEALTHCHECK CMD a"],
    ['HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 --start-period=2s CMD ["a", "b"]'],
    ["HEALTHCHECK NONE"],
    ["ONBUILD RUN a b\nONBUILD COPY . /x"],
    ["FROM base\nENV b=2"],
    ['CMD ["x"]\nFROM base\nENTRYPOINT ["a"]'],
    ['CMD ["x"]\nENTRYPOINT ["y"]\nFROM base\nCMD ["z"]'],
    ["ENV a=1\nUSER u\nWORKDIR /w\nFROM base\nENV a=2 c=$a\nWORKDIR x"],
    ["ONBUILD ENV t=1\nONBUILD USER ob\nFROM base\nENV u=${t}2"],
    ["ENV name value with  spaces"],
    ["ENV a=1 b=2 c=3"],
    ["ENV a=\"value'quote space'value2\""],
    ["ENV a='value\"double quote\"value2'"],
    ["ENV a=value\\ value2 b=value2\\ value3"],
    ['ENV a="a\\"b" b="a\\\\b"'],
    ["ENV a='a\\\"b' b=\"''\" c=\"a\\'b\""],
    ['ENV a=1 \\\n  b="2 \\\n   3" \\\n  c=4'],
    ["ENV a=b\nENV a=$a:c\nENV a=$a:d"],
    ["ENV a=1\nENV b=${a}2 a=3 c=$a"],
    ["ENV PATH=/x:$PATH"],
    ["ENV a=\nENV b=${a:-empty}"],
    ["ARG a=1\nARG b=${a}2\nENV c=$b"],
    ["ARG a\nENV b=$a"],
    ["ARG a='x y'\nENV b=$a"],
    ["ARG v=1\nLABEL l=$v\nSTOPSIGNAL $v\nUSER $v\nEXPOSE $v"],
    ['LABEL "a.b"="c d" e="f \\\n g"'],
    ["LABEL a=1\nFROM base\nLABEL b=2 a=3"],
    ["EXPOSE 80\nEXPOSE 80/tcp 443/tcp"],
    ["EXPOSE 80\nFROM base\nEXPOSE 81"],
    ["VOLUME /a\nVOLUME /b /a\nFROM base\nVOLUME /c"],
    ["HEALTHCHECK CMD a\nFROM base\nHEALTHCHECK NONE"],
    ["HEALTHCHECK CMD a\nFROM base"],
    ["STOPSIGNAL SIGINT\nFROM base"],
    ['ENTRYPOINT ["a"]\nCMD ["b"]\nFROM base\nCMD ["c"]'],
    ["CMD []\nENTRYPOINT []"],
    ["USER a\nUSER b"],
    ["WORKDIR /a b/c"],
    ["CMD echo 'a  b'   \"c\""],
    ['CMD ["a", "b\\n", "\\u0041"]'],
    ["cmd a\nenv b=c"],
    ["ARG OTHER=o\nFROM ${NAME:-base}\nENV a=1"],
    ["FROM base AS second\nENV a=1\nFROM second AS third\nENV b=$a\nFROM third\nENV c=$b$a"],
  ])("%j", async (text, buildArgs = {}) => {
    const whole = `FROM scratch AS base\n${text}\n`;
    expect(ours(whole, buildArgs)).toEqual(await theirs(whole, buildArgs));
  });
});

/** Docker's documentation has it our way in each of these. */
describe("where buildah differs, all else is the same", () => {
  it.each<[string, string, (typeof FIELDS)[number], unknown]>([
    ["it does not use SHELL for CMD", 'SHELL ["bash", "-c"]\nCMD a', "Cmd", ["bash", "-c", "a"]],
    ["nor for ENTRYPOINT", 'SHELL ["bash", "-c"]\nENTRYPOINT a', "Entrypoint", ["bash", "-c", "a"]],
    ["a folder stays as it is written", "WORKDIR //a//b/./c/", "WorkingDir", "/a/b/c"],
    ["a range of ports stays one", "EXPOSE 1-2", "ExposedPorts", { "1/tcp": {}, "2/tcp": {} }],
    [
      "a stage does not inherit arguments",
      "ARG a=1\nFROM base\nENV b=$a",
      "Env",
      [expect.stringMatching(/^PATH=/), "b=1"],
    ],
  ])("%s", async (_, text, field, expected) => {
    const whole = `FROM scratch AS base\n${text}\n`;
    const { [field]: own, ...rest } = ours(whole, {});
    const { [field]: other, ...others } = await theirs(whole, {});
    expect(own).toEqual(expected);
    expect(other).toBeDefined();
    expect(rest).toEqual(others);
  });
});
