import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles, folderWith } from "./build-fixture.js";

let current: ReturnType<typeof freshHome>;
let context: string;

beforeEach(() => {
  current = freshHome([]);
  context = folderWith({ "inside/file": "x" });
  symlinkSync("/etc/passwd", join(context, "absolute"));
  symlinkSync("../../../../../../../etc/passwd", join(context, "relative"));
  symlinkSync("/etc", join(context, "folder"));
  symlinkSync("/proc/self/root/etc", join(context, "inside/proc"));
});
afterEach(() => {
  rmSync(context, { recursive: true });
  current[Symbol.dispose]();
});

const build = (dockerfile: string) => builtFiles(`FROM scratch\n${dockerfile}\n`, { context });
const SOURCES = [
  ...["/etc/passwd", "../../../../../../etc/passwd", "inside/../../../../../etc/passwd", "absolute", "relative"],
  ...[
    "folder/passwd",
    "folder/../etc/passwd",
    "inside/proc/passwd",
    "fol*er/passwd",
    "*/proc/passwd",
    "file:///etc/passwd",
  ],
];

test.each(SOURCES)("%s is not the host's, for COPY, ADD, --parents and COPY --from a stage", async (source) => {
  const stage = "COPY . /\nFROM scratch";
  for (const instruction of [
    `COPY ${source} /x`,
    `ADD ${source} /x`,
    `COPY --parents ${source} /x/`,
    `${stage}\nCOPY --from=0 ${source} /x`,
  ]) {
    const made = await build(instruction).catch((error: Error) => error.message);
    if (typeof made === "string") expect(made, instruction).toMatch(/is not in the|matches/);
    // --parents takes a link as the link that it is.
    else expect(made.join(), instruction).not.toContain("root:");
  }
});

test("an archive leads nowhere: its names and links stay in the layer, or it is refused", async () => {
  const archives: [string, TarBuilder][] = [
    ["a name that leads out", new TarBuilder().file("../../../etc/evil", "evil")],
    ["an absolute name", new TarBuilder().file("/etc/evil", "evil")],
    ["a link on the way", new TarBuilder().symlink("out", "/etc").file("out/evil", "evil")],
    ["a hard link", new TarBuilder().hardLink("passwd", "/etc/passwd")],
    ["a hard link that leads out", new TarBuilder().hardLink("passwd", "../../../etc/passwd")],
  ];
  for (const [what, tar] of archives) {
    writeFileSync(join(context, "a.tar"), tar.finish());
    const made = await build("ADD a.tar /d/").catch((error: Error) => error.message);
    if (typeof made === "string") expect(made, what).toContain("Dockerfile:2:1: ADD a.tar");
    else for (const line of made) expect(line, what).toMatch(/ d\/(?!.*root:)/);
  }
});

test("links of the image lead within it when something is copied upon them", async () => {
  symlinkSync("/", join(context, "root"));
  expect(
    await build("COPY --parents folder root /\nCOPY inside/file /folder/evil\nCOPY inside/file /root/made\n"),
  ).toEqual(expect.arrayContaining(["0 644 0:0 etc/evil=x", "0 644 0:0 made=x"]));
});
