import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readFolder } from "../support/folder-listing.js";
import { convertToListing, temporaryFolder } from "../support/layer-fixture.js";
import { canMakeEveryKind } from "../support/privileges.js";
import { randomFrom } from "../support/random.js";
import { differences } from "../support/tree-listing.js";

const FORMATS = ["pax", "gnu"] as const;
const SEEDS = Array.from({ length: 12 }, (_, i) => i + 1);

describe.runIf(canMakeEveryKind())("a random tree", () => {
  it.each(SEEDS)("reads back as it was packed (seed %i)", async (seed) => {
    using folder = temporaryFolder();
    const root = join(folder.path, "root");
    mkdirSync(root);
    const random = randomFrom(seed);
    makeTree(root, random);
    const format = FORMATS[seed % 2] ?? "pax";
    const archive = join(folder.path, "layer.tar");
    const xattrs = format === "pax" ? ["--xattrs", "--xattrs-include=*"] : [];
    const sparse = random.below(2) === 0 ? ["--sparse"] : [];
    execFileSync("tar", [`--format=${format}`, ...xattrs, ...sparse, "-C", root, "-cf", archive, "."]);
    const { listing } = await convertToListing(readFileSync(archive), { pieceSize: 1 + random.below(100_000) });
    expect(differences(listing, readFolder(root))).toEqual([]);
  });
});

type Random = ReturnType<typeof randomFrom>;

function makeTree(root: string, random: Random): void {
  const folders = [root];
  const files: string[] = [];
  const count = 30 + random.below(300);
  for (let i = 0; i < count; i++) {
    const path = join(random.pick(folders), randomName(random, i));
    makeNode(path, random, folders, files);
    lutimesSync(path, 1, random.below(2_000_000_000));
  }
  for (const folder of folders) lutimesSync(folder, 1, random.below(2_000_000_000));
}

function makeNode(path: string, random: Random, folders: string[], files: string[]): void {
  const kind = random.below(10);
  if (kind < 2) {
    mkdirSync(path);
    folders.push(path);
  } else if (kind === 2) {
    symlinkSync(random.text(1 + random.below(300)), path);
    return;
  } else if (kind === 3 && files.length > 0) {
    linkSync(random.pick(files), path);
    return;
  } else if (kind === 4) {
    execFileSync("mknod", [path, random.pick(["c", "b"]), String(random.below(4096)), String(random.below(2 ** 20))]);
  } else {
    writeFileSync(path, randomContent(random));
    files.push(path);
  }
  chownSync(path, random.below(100_000), random.below(100_000));
  chmodSync(path, random.below(0o10000));
}

/** Unique by its number, and of any length and bytes that a name may have, UTF-8 for the host's sake. */
function randomName(random: Random, i: number): string {
  const prefix = random.below(5) === 0 ? "\u00e9".repeat(random.below(60)) : "";
  const length = random.below(8) === 0 ? random.below(100) : random.below(12);
  return `${prefix}${random.text(length)}${i}`;
}

/** Data, zeros and holes of sizes on both sides of a block and of 64 KiB. */
function randomContent(random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let i = random.below(5); i > 0; i--) {
    const size = random.pick([random.below(100), 4096, 4096 * random.below(40), random.below(300_000)]);
    parts.push(random.below(2) === 0 ? Buffer.alloc(size) : Buffer.alloc(size, random.text(1 + random.below(50))));
  }
  return Buffer.concat(parts);
}
