import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { freshHome } from "../../support/test-home.js";
import { builtFiles, folderWith } from "../build-fixture.js";

let context: string;
let current: ReturnType<typeof freshHome>;

beforeAll(() => {
  const names = ["x/a.txt", "x/b.md", "x/y/c.txt", "x/y/z/d.txt", "y/a.txt", "top.txt"];
  context = folderWith(Object.fromEntries(names.map((name) => [name, name])));
  symlinkSync("a.txt", join(context, "x/link"));
  symlinkSync("/etc", join(context, "out"));
  symlinkSync("x", join(context, "folder"));
});
afterAll(() => rmSync(context, { recursive: true }));
beforeEach(() => {
  current = freshHome([]);
});
afterEach(() => current[Symbol.dispose]());

/** The files of the image, without its folders. */
async function files(instruction: string): Promise<string[]> {
  const lines = await builtFiles(`FROM scratch\n${instruction}\n`, { context });
  return lines.flatMap((line) => (line.startsWith("5") ? [] : [(line.split(" ")[3] ?? "").replace(/=.*/, "")]));
}

test.each<[string, string[]]>([
  ["COPY --parents x/a.txt y/a.txt /p/", ["p/x/a.txt", "p/y/a.txt"]],
  ["COPY --parents x/a.txt /p", ["p/x/a.txt"]],
  ["COPY --parents ./x/a.txt /p/", ["p/x/a.txt"]],
  ["COPY --parents x/y /p/", ["p/x/y/c.txt", "p/x/y/z/d.txt"]],
  ["COPY --parents x/./y/z/d.txt /p/", ["p/y/z/d.txt"]],
  ["COPY --parents x/y/./z /p/", ["p/z/d.txt"]],
  ["COPY --parents x/./*.txt /p/", ["p/a.txt"]],
  ["COPY --parents */a.txt /p/", ["p/x/a.txt", "p/y/a.txt"]],
  ["COPY --parents **/*.txt /p/", ["p/top.txt", "p/x/a.txt", "p/x/y/c.txt", "p/x/y/z/d.txt", "p/y/a.txt"]],
  ["COPY --parents x/**/d.txt /p/", ["p/x/y/z/d.txt"]],
  ["COPY --parents x/y/** /p/", ["p/x/y/c.txt", "p/x/y/z/d.txt"]],
  ["COPY --parents --exclude=x/y x/ /p/", ["p/x/a.txt", "p/x/b.md", "p/x/link>a.txt"]],
  ["COPY --parents --exclude=**/*.txt x/y x/b.md /p/", ["p/x/b.md"]],
  ["COPY --parents x/link /p/", ["p/x/link>a.txt"]],
  [
    "COPY --parents . /p/",
    [
      "p/folder>x",
      "p/out>/etc",
      "p/top.txt",
      "p/x/a.txt",
      "p/x/b.md",
      "p/x/link>a.txt",
      "p/x/y/c.txt",
      "p/x/y/z/d.txt",
      "p/y/a.txt",
    ],
  ],
  ["COPY --parents ../../x/a.txt /p/", ["p/x/a.txt"]],
  ["COPY --exclude=*.md x/*.* /p/", ["p/a.txt"]],
  ["COPY --exclude=y --exclude=link x /p/", ["p/a.txt", "p/b.md"]],
  ["COPY --exclude=* --exclude=!b.md x /p/", ["p/b.md"]],
])("%s", async (instruction, expected) => expect(await files(instruction)).toEqual(expected));

test("folders on the way are as they are in the source, and belong to whom --chown says", async () => {
  const made = await builtFiles("FROM scratch\nCOPY --parents --chown=5:6 --chmod=700 x/y/c.txt /p/\n", { context });
  expect(made).toEqual(["5 755 5:6 p/", "5 700 5:6 p/x/", "5 700 5:6 p/x/y/", "0 700 5:6 p/x/y/c.txt=x/y/c.txt"]);
});

test("from a stage, and no link on the way is followed", async () => {
  expect(await files("COPY x /s/x\nFROM scratch\nCOPY --from=0 --parents /s/./x/a.txt /\n")).toEqual(["x/a.txt"]);
  for (const source of ["out/passwd", "folder/a.txt", "x/nothing", "../../../etc/passwd", "out/./passwd"]) {
    await expect(files(`COPY --parents ${source} /p/`)).rejects.toThrow("is not in the build context");
  }
});
