import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { convertLayer } from "../src/rootfs/index.js";
import { benchmark, type Case } from "./support/benchmark.js";

/** What a Debian machine has anyway, 100 to 200 MB of many small and some large files. */
const SOURCES = ["usr/lib/python3", "usr/lib/python3.11", "usr/share/perl", "usr/share/zoneinfo"];
const LEAST = 75e6;

interface Input {
  name: string;
  path: string;
  digest: string;
  bytes: number;
}

await main();

/** Converts a realistic layer, and compares with what `mksquashfs` makes of the same archive in the same time. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    const plain = makeArchive(folder);
    const inputs = [plain, pack(plain, "gzip", "gz"), pack(plain, "zstd", "zst")];
    const ours = inputs.map((input) => conversion(folder, input, plain));
    const rival = await squashfs(folder, plain);
    await benchmark({
      name: "layers",
      title: `A layer of ${(plain.bytes / 1e6).toFixed(0)} MB (tar) made into a file system image`,
      runs: 10,
      cases: [...ours, rival],
      rival: rival.name,
      facts: () => sizes(folder, plain),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function makeArchive(folder: string): Input {
  const path = join(folder, "layer.tar");
  const present = SOURCES.filter((each) => existsSync(join("/", each)));
  execFileSync("tar", ["--format=pax", "-C", "/", "-cf", path, ...present], { stdio: ["ignore", "ignore", "inherit"] });
  const { size } = statSync(path);
  if (size < LEAST) throw new Error(`Only ${size} bytes were found under ${present.join(", ")}: too few to measure`);
  return { name: "tar", path, digest: digestOf(path), bytes: size };
}

function pack(input: Input, tool: string, extension: string): Input {
  const path = `${input.path}.${extension}`;
  execFileSync("sh", ["-c", `${tool} -c "$1" > "$2"`, "sh", input.path, path]);
  return { name: `tar + ${tool}`, path, digest: digestOf(path), bytes: input.bytes };
}

function conversion(folder: string, input: Input, plain: Input): Case {
  const output = join(folder, "layer.erofs");
  return {
    name: `${input.name} -> EROFS, digests verified`,
    bytes: plain.bytes,
    before: () => rm(output, { force: true }),
    run: async () => {
      const source = createReadStream(input.path, { highWaterMark: 1024 * 1024 });
      await convertLayer(source, { blobDigest: input.digest, diffId: plain.digest, output });
    },
  };
}

/** squashfs-tools 4.5 calls its tar reader `sqfstar`; later ones have `mksquashfs - -tar` too. */
async function squashfs(folder: string, plain: Input): Promise<Case> {
  const output = join(folder, "layer.squashfs");
  return {
    name: "sqfstar -comp zstd",
    bytes: plain.bytes,
    before: () => rm(output, { force: true }),
    run: async () => {
      await execa("sqfstar", ["-comp", "zstd", "-quiet", "-no-progress", output], { inputFile: plain.path });
    },
  };
}

async function sizes(folder: string, plain: Input): Promise<Record<string, string>> {
  const extracted = join(folder, "extracted");
  const other = join(folder, "mkfs.erofs");
  mkdirSync(extracted);
  execFileSync("tar", ["-xpf", plain.path, "-C", extracted]);
  execFileSync("mkfs.erofs", ["-T0", other, extracted], { stdio: "pipe" });
  const onDisk = (path: string) => `${((statSync(path).blocks * 512) / 1e6).toFixed(1)} MB`;
  return {
    "on disk, the archive": onDisk(plain.path),
    "on disk, our EROFS": onDisk(join(folder, "layer.erofs")),
    "on disk, EROFS by mkfs.erofs (uncompressed)": onDisk(other),
    "on disk, squashfs (zstd)": onDisk(join(folder, "layer.squashfs")),
  };
}

function digestOf(path: string): string {
  const hash = createHash("sha256");
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(1024 * 1024);
  for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer))
    hash.update(buffer.subarray(0, count));
  return `sha256:${hash.digest("hex")}`;
}
