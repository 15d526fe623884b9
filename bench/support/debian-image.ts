import { mkdtempSync } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { produceOnce } from "../../src/store/index.js";
import { testCache } from "../../test/support/images.js";

const TRIPLET = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86-64-linux-gnu";

/** Layers as images of applications have them: a base, languages, build tools, what is on top. Debian packages by layer. */
export const APPLICATION: readonly (readonly string[])[] = [
  words(`libc6 libc-bin coreutils bash dash perl-base apt dpkg tar gzip grep sed util-linux tzdata libstdc++6 libssl3 findutils
    libapt-pkg6.0`),
  words("python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3.11 perl perl-modules-5.36 libperl5.36"),
  words(`gcc-12 cpp-12 libgcc-12-dev binutils-${TRIPLET} libbinutils libc6-dev linux-libc-dev make`),
  words("git vim-runtime"),
];

/** Four times as much, with single layers of hundreds of megabytes. */
export const LARGE: readonly (readonly string[])[] = [
  ...APPLICATION,
  words("llvm-14-dev llvm-14 libllvm14 libclang-cpp14"),
  words("openjdk-17-jre-headless openjdk-17-jdk-headless"),
  words("libllvm15 libicu-dev valgrind postgresql-15"),
];

/** An image made of Debian packages, as an OCI layout whose layers are gzip archives. */
export interface DebianImage {
  layout: string;
  /** Bytes of the layers as they are fetched, and of the archives in them. */
  packed: number;
  unpacked: number;
}

/** Downloads packages of the release that this machine runs, and makes each group a layer; kept for later runs. */
export async function debianImage(name: string, layers: readonly (readonly string[])[]): Promise<DebianImage> {
  const folder = join(testCache(), `bench-${name}`);
  const find = () => stat(folder).then(Boolean, () => undefined);
  await produceOnce(folder, { find, make: (partial) => make(partial, layers) });
  const layout = join(folder, "layout");
  return {
    layout,
    packed: await bytesBelow(join(layout, "blobs")),
    unpacked: await bytesBelow(join(folder, "archives")),
  };
}

async function make(folder: string, layers: readonly (readonly string[])[]): Promise<void> {
  const [layout, archives] = [join(folder, "layout"), join(folder, "archives")];
  await mkdir(archives, { recursive: true });
  await execa("umoci", ["init", "--layout", layout]);
  await execa("umoci", ["new", "--image", `${layout}:latest`]);
  for (const [i, packages] of layers.entries()) {
    const archive = join(archives, `${i}.tar`);
    await layerOf(packages, archive);
    await execa("umoci", ["raw", "add-layer", "--image", `${layout}:latest`, archive]);
    // Only its length is needed from now on.
    await execa("fallocate", [
      "--punch-hole",
      "--offset",
      "0",
      "--length",
      String((await stat(archive)).size),
      archive,
    ]);
  }
  await execa("umoci", ["gc", "--layout", layout]);
}

async function layerOf(packages: readonly string[], archive: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    const [downloads, root] = [join(scratch, "packages"), join(scratch, "root")];
    await mkdir(downloads);
    await execa("apt-get", ["download", "-qq", ...packages], { cwd: downloads });
    for (const name of await readdir(downloads)) await execa("dpkg-deb", ["--extract", join(downloads, name), root]);
    await execa("tar", ["--sort=name", "-C", root, "-cf", archive, "."]);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function bytesBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.filter((each) => each.isFile()).map((each) => stat(join(each.parentPath, each.name)));
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
}

function words(text: string): string[] {
  return text.split(/\s+/);
}
