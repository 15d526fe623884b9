import { expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { parseUlimit, type Rlimits, resourceLimits } from "../../src/vm/index.js";

test.each([
  ["nofile=1024", { nofile: { soft: 1024, hard: 1024 } }],
  ["nofile=1024:4096", { nofile: { soft: 1024, hard: 4096 } }],
  ["core=-1", { core: { soft: "unlimited", hard: "unlimited" } }],
  ["stack=8388608:unlimited", { stack: { soft: 8_388_608, hard: "unlimited" } }],
])("--ulimit %s", (text, limits) => {
  expect(parseUlimit(text)).toEqual(limits);
});

test.each(["nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=5:4", "files=1", "nofile=-2", "constructor=1"])(
  "--ulimit %s is refused",
  (text) => {
    expect(() => parseUlimit(text)).toThrow(UsageError);
  },
);

test("limits get the kernel's numbers", () => {
  expect(resourceLimits({ cpu: 10, memlock: "unlimited", as: { soft: 1, hard: 2 } })).toEqual([
    { resource: 0, soft: 10, hard: 10 },
    { resource: 8, soft: Infinity, hard: Infinity },
    { resource: 9, soft: 1, hard: 2 },
  ]);
});

test.each([{ nofile: -1 }, { nofile: 1.5 }, { nofile: { soft: 2, hard: 1 } }, { toString: 1 } as Rlimits])(
  "%j is no limit",
  (limits) => {
    expect(() => resourceLimits(limits)).toThrow(UsageError);
  },
);
