import { describe, test } from "vitest";
import { bothBuilders } from "../support/conformance/both-builders.js";
import { FAILING_CASES } from "../support/conformance/failing-cases.js";
import { IGNORE_CASES } from "../support/conformance/ignore-cases.js";

const { expectFailure, expectSameWithIgnore } = bothBuilders();

describe("a .dockerignore leaves the files that buildah leaves", () => {
  test.each(IGNORE_CASES)("%s: %j", expectSameWithIgnore);
});

describe("what buildah does not build is not built", () => {
  test.each(FAILING_CASES)("%s: %j", (_name, lines, ignore) => expectFailure(lines, { ignore }));
});
