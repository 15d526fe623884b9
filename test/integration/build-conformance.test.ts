import { beforeAll, describe, expect, test } from "vitest";
import { REFUSED } from "../support/conformance/accepted.js";
import { type ByBoth, bothBuilders } from "../support/conformance/both-builders.js";
import { below, fileDifferences } from "../support/conformance/compare.js";
import { COPY_CASES } from "../support/conformance/copy-cases.js";
import { FAILING_CASES } from "../support/conformance/failing-cases.js";
import { IGNORE_CASES } from "../support/conformance/ignore-cases.js";
import { RUN_CASES } from "../support/conformance/run-cases.js";
import { busyboxImage } from "../support/images.js";

const { build, expectFailure, expectSameWithIgnore } = bothBuilders();

type Cases = readonly (readonly [name: string, dockerfile: string])[];

/** Many cases as stages of one Dockerfile, whose image has a folder for each. */
function asStages(cases: Cases, base: string, path: string): string {
  const stages = cases.map(([, dockerfile], index) => {
    const text = dockerfile.startsWith("FROM ") ? dockerfile : `${base}\n${dockerfile}`;
    const [last = "", ...earlier] = text.split(/^(?=FROM )/m).reverse();
    const named = [last.replace(/^(FROM \S+)$/m, "$1 AS $CASE"), ...earlier].reverse().join("");
    return named.replaceAll("$CASE", `case${index}`);
  });
  const copies = cases.map((_, index) => `COPY --from=case${index} ${path} /case${index}`);
  return [...stages, "FROM scratch", ...copies, ""].join("\n");
}

describe.each<[string, Cases, (cases: Cases) => Promise<string>]>([
  ["COPY and ADD make", COPY_CASES, async (cases) => asStages(cases, "FROM scratch", "/")],
  [
    "RUN makes",
    RUN_CASES,
    async (cases) => {
      const base = `FROM oci-archive:${(await busyboxImage()).archive} AS base\nENV any=thing\nWORKDIR /case`;
      return `ARG GLOBAL=global\n${base}\n${asStages(cases, "FROM base", "/case")}`;
    },
  ],
])("%s the files that buildah makes", (_title, cases, dockerfile) => {
  let both: ByBoth;
  beforeAll(async () => {
    both = await build(await dockerfile(cases));
  });

  test.each(cases.map(([name], index) => [name, `case${index}`]))("%s", (name, stage) => {
    const own = below(both.own, stage);
    expect(Object.keys(own).length).toBeGreaterThan(1);
    expect(fileDifferences(name, own, below(both.other, stage))).toEqual([]);
  });
});

/** Each of these takes a build of its own by both; test/soak has all. */
const someOf = <Row>(rows: readonly Row[]) => rows.filter((_, index) => index % 8 === 0);

describe("a .dockerignore leaves the files that buildah leaves", () => {
  test.each(someOf(IGNORE_CASES))("%s: %j", expectSameWithIgnore);
});

describe("what buildah does not build is not built", () => {
  test.each(someOf(FAILING_CASES))("%s: %j", (_name, lines, ignore) => expectFailure(lines, { ignore }));
});

describe("what docker's builds refuse is not built, though buildah does", () => {
  test.each(REFUSED)("%s: %j", (_why, lines) => expectFailure(lines, { byBuildah: false }));
});
