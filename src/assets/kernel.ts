import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Architecture } from "../engine/index.js";
import { AssetsError, NetworkError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { produceOnce } from "../store/index.js";
import { unpackDeb } from "./deb.js";
import { modulesInOrder } from "./modules.js";
import { aptDownload, aptUpdate, canInstall, distribution, resolveKernelPackage } from "./packages.js";
import { runProgram } from "./run-program.js";

/** Debian's names of the architectures. */
const DEBIAN_ARCHITECTURE: Record<Architecture, string> = { x64: "amd64", arm64: "arm64" };

/**
 * The kernel for systems without Debian's archive, out of Debian's snapshot archive, which keeps every file for ever under
 * its SHA-1. We trust the SHA-256 alone, taken from the signed package index.
 */
const PINNED: Record<Architecture, { name: string; sha1: string; sha256: string }> = {
  x64: {
    name: "linux-image-6.1.0-56-cloud-amd64",
    sha1: "b3387d33ab9b1d6ad2aa2d1cf57311affbc1f631",
    sha256: "e7d02b943971edcb8790e256c02cfab3bca6c3d37c1bf25392a57c71300615ee",
  },
  arm64: {
    name: "linux-image-6.1.0-56-cloud-arm64",
    sha1: "f8ed01d94cc10dbcb88866d4e093a42c55b262a4",
    sha256: "481ab54a27246579aadeb372315c56de02f2fe0cba4e09b387946269fff2f415",
  },
};
const SNAPSHOT_ARCHIVE = "https://snapshot.debian.org/file/";
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;

/** An unpacked kernel package. */
export interface Kernel {
  /** The package's name, which has the kernel's version in it. */
  name: string;
  vmlinuz: string;
  /** Modules the guest needs, each after the ones it depends on. */
  modules: string[];
  /** SHA-256 of `vmlinuz`. */
  digest: string;
}

/** Finds or obtains the guest's kernel below `folder`. It is unpacked, never installed. */
export async function ensureKernel(folder: string, architecture: Architecture, work: LongWork): Promise<Kernel> {
  const name = await kernelName(folder, architecture, work);
  const path = join(folder, name);
  return produceOnce(path, {
    find: () => readKernel(path, name),
    make: (partial) => unpackKernel(partial, name, architecture, work),
    ...(work.signal && { signal: work.signal }),
  });
}

async function kernelName(folder: string, architecture: Architecture, work: LongWork): Promise<string> {
  const image = `linux-image-cloud-${DEBIAN_ARCHITECTURE[architecture]}`;
  // Ubuntu's kernels are configured otherwise; everywhere but on Debian the pinned one is used, so that one is proven.
  const fromApt = distribution() === "debian" && architecture === process.arch;
  const current = fromApt && (await resolveKernelPackage(image, work));
  if (current) return current;
  // Without package lists, as on a machine that is offline, what was unpacked before is as good.
  const suffix = `-cloud-${DEBIAN_ARCHITECTURE[architecture]}`;
  const unpacked = (await readdir(folder)).filter((name) => name.startsWith("linux-image-") && name.endsWith(suffix));
  const newest = unpacked.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  if (newest) return newest;
  if (fromApt && canInstall()) await aptUpdate(work);
  return (fromApt && (await resolveKernelPackage(image, work))) || PINNED[architecture].name;
}

async function unpackKernel(partial: string, name: string, architecture: Architecture, work: LongWork): Promise<void> {
  await mkdir(partial, { recursive: true });
  const step = { phase: "setup" as const, item: `kernel ${name}` };
  work.onProgress?.(step);
  await obtainPackage(partial, name, architecture, work);
  const [deb] = (await readdir(partial)).filter((each) => each.endsWith(".deb"));
  if (!deb) throw new AssetsError(`no package file of ${name} arrived`, { hint: "Run `supermachine setup` again." });
  await unpackDeb(join(partial, deb), partial, ["./boot", "./lib/modules"], work.signal);
  await rm(join(partial, deb));
  await arrange(partial, work.signal);
  work.onProgress?.({ ...step, finished: true });
}

async function obtainPackage(folder: string, name: string, architecture: Architecture, work: LongWork): Promise<void> {
  if (name === PINNED[architecture].name && distribution() !== "debian")
    return downloadPinned(folder, architecture, work);
  try {
    await aptDownload(name, folder, work.signal);
  } catch (error) {
    if (name !== PINNED[architecture].name) throw error;
    await downloadPinned(folder, architecture, work);
  }
}

/** Reduces the package to `vmlinuz` and the modules that the guest needs. */
async function arrange(folder: string, signal: AbortSignal | undefined): Promise<void> {
  const [vmlinuz] = (await readdir(join(folder, "boot"))).filter((each) => each.startsWith("vmlinuz-"));
  const [version] = await readdir(join(folder, "lib", "modules"));
  if (!vmlinuz || !version) throw new AssetsError(`the kernel package in ${folder} has no vmlinuz or no modules`);
  const modules = join(folder, "lib", "modules", version);
  await decompressModules(modules, signal);
  const ordered = await modulesInOrder(modules);
  await mkdir(join(folder, "modules"));
  for (const [index, path] of ordered.entries()) {
    const name = `${String(index).padStart(2, "0")}-${path.slice(path.lastIndexOf("/") + 1)}`;
    await rename(path, join(folder, "modules", name));
  }
  await rename(join(folder, "boot", vmlinuz), join(folder, "vmlinuz"));
  const digest = await sha256(join(folder, "vmlinuz"));
  await writeFile(join(folder, "vmlinuz.sha256"), digest);
  await rm(join(folder, "boot"), { recursive: true });
  await rm(join(folder, "lib"), { recursive: true });
}

/** Newer kernels ship compressed modules; the agent loads plain ones only. */
async function decompressModules(folder: string, signal: AbortSignal | undefined): Promise<void> {
  const files = (await readdir(folder, { recursive: true })).map((each) => join(folder, each));
  const options = signal ? { cancelSignal: signal } : {};
  for (const [suffix, tool] of [
    [".ko.xz", "xz"],
    [".ko.zst", "zstd"],
  ] as const) {
    const compressed = files.filter((each) => each.endsWith(suffix));
    for (let i = 0; i < compressed.length; i += 100) {
      await runProgram(
        tool,
        ["-d", "-q", ...(tool === "zstd" ? ["--rm"] : []), ...compressed.slice(i, i + 100)],
        options,
      );
    }
  }
}

async function readKernel(path: string, name: string): Promise<Kernel | undefined> {
  try {
    const digest = await readFile(join(path, "vmlinuz.sha256"), "utf8");
    await access(join(path, "vmlinuz"));
    const modules = (await readdir(join(path, "modules"))).sort().map((each) => join(path, "modules", each));
    return { name, vmlinuz: join(path, "vmlinuz"), modules, digest };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function downloadPinned(folder: string, architecture: Architecture, work: LongWork): Promise<void> {
  const { name, sha1, sha256: expected } = PINNED[architecture];
  const timeout = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
  const signal = work.signal ? AbortSignal.any([work.signal, timeout]) : timeout;
  const deb = join(folder, `${name}.deb`);
  const hash = createHash("sha256");
  try {
    const response = await fetch(SNAPSHOT_ARCHIVE + sha1, { signal });
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    const total = Number(response.headers.get("content-length")) || undefined;
    let done = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, next) {
        hash.update(chunk);
        done += chunk.length;
        work.onProgress?.({ phase: "setup", item: `kernel ${name}`, done, ...(total && { total }) });
        next(null, chunk);
      },
    });
    await pipeline(
      Readable.fromWeb(response.body as import("node:stream/web").ReadableStream),
      count,
      createWriteStream(deb),
      { signal },
    );
  } catch (cause) {
    work.signal?.throwIfAborted();
    throw new NetworkError(`the guest kernel ${name} could not be downloaded from Debian's snapshot archive`, {
      cause,
      hint: "Check the connection and run `supermachine setup` again.",
    });
  }
  const actual = hash.digest("hex");
  if (actual !== expected)
    throw new AssetsError(`the downloaded ${name} has SHA-256 ${actual}, not ${expected}; it was not used`);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
