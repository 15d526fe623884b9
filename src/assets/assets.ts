import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { type Architecture, qemuBinary } from "../engine/index.js";
import { AssetsError } from "../errors.js";
import type { LongWork } from "../progress.js";
import { acquireLock, home, replace } from "../store/index.js";
import { agentFiles, ensureAgent } from "./agent.js";
import { ensureInitramfs } from "./initramfs.js";
import { ensureKernel } from "./kernel.js";
import { aptInstall, canInstall, installHint } from "./packages.js";
import { inspectQemu, locateQemu } from "./qemu.js";

/** Everything a machine is booted from. */
export interface Assets {
  architecture: Architecture;
  qemu: { path: string; version: string };
  kernel: { name: string; vmlinuz: string; digest: string };
  /** Its name has the hash of its content: agent and modules. */
  initramfs: string;
}

const Manifest = v.object({
  /** Of QEMU's binary and the agent's sources or binary, to notice an update at little cost: of each installed package that has these. */
  stamps: v.array(v.string()),
  agent: v.string(),
  qemu: v.object({ path: v.string(), version: v.string() }),
  kernel: v.object({ name: v.string(), vmlinuz: v.string(), digest: v.string() }),
  initramfs: v.string(),
});

/** Packages of the same version that share a home. */
const MOST_STAMPS = 8;

type Manifest = v.InferOutput<typeof Manifest>;

/** The architecture of this machine, which is also its guests'. @throws AssetsError where there is no guest for it. */
export function hostArchitecture(): Architecture {
  if (process.arch === "x64" || process.arch === "arm64") return process.arch;
  throw new AssetsError(`this machine's architecture (${process.arch}) is not supported`, {
    hint: "supermachine runs on x64 and arm64.",
  });
}

/**
 * Finds QEMU, kernel, agent and initramfs, and obtains what is missing: this is what `supermachine setup` does, and every
 * command on first use.
 * @throws AssetsError with the command to type where it may not install what is missing itself
 */
export async function ensureAssets(work: LongWork = {}): Promise<Assets> {
  const architecture = hostArchitecture();
  const folder = home().assets;
  await mkdir(folder, { recursive: true });
  const manifest = join(folder, `assets-${architecture}.json`);
  const path = await obtainQemu(architecture, work);
  const stamp = stampOf([path, ...agentFiles(architecture)]);
  const known = await readManifest(manifest);
  if (known?.stamps.includes(stamp)) return assetsOf(architecture, known);

  const agent = await ensureAgent(folder, architecture, work);
  const qemu = await inspectQemu(path);
  const kernel = await ensureKernel(folder, architecture, work);
  const initramfs = await ensureInitramfs(folder, agent, kernel.modules);
  const { name, vmlinuz, digest } = kernel;
  const isSame = known?.agent === agent && isDeepStrictEqual(known.qemu, qemu);
  const stamps = [stamp, ...(isSame ? known.stamps : [])].slice(0, MOST_STAMPS);
  const obtained = { stamps, agent, qemu, kernel: { name, vmlinuz, digest }, initramfs };
  await writeManifest(manifest, obtained);
  return assetsOf(architecture, obtained);
}

function assetsOf(architecture: Architecture, { qemu, kernel, initramfs }: Manifest): Assets {
  return { architecture, qemu, kernel, initramfs };
}

/** What guests are booted from that were made elsewhere. */
export interface GuestFiles extends Pick<Assets, "kernel" | "initramfs"> {
  architecture: Architecture;
}

/**
 * Finds (or obtains) QEMU for a kernel and an agent that are given.
 * @throws AssetsError, also when they are for another kind of machine
 */
export async function assetsWith({ architecture, kernel, initramfs }: GuestFiles, work: LongWork): Promise<Assets> {
  const own = hostArchitecture();
  if (architecture !== own) {
    throw new AssetsError(`this guest is for ${architecture}, this machine is ${own}`, {
      hint: "Make it anew on a machine of this kind.",
    });
  }
  await mkdir(home().assets, { recursive: true });
  const path = await obtainQemu(architecture, work);
  return { architecture, qemu: await inspectQemu(path), kernel, initramfs };
}

/** What was found or obtained before, without looking any further. */
export async function knownAssets(): Promise<Assets | undefined> {
  const architecture = hostArchitecture();
  const known = await readManifest(join(home().assets, `assets-${architecture}.json`));
  return known && assetsOf(architecture, known);
}

/** Forgets what was found, so that the next {@link ensureAssets} looks again, for a newer kernel as well. */
export async function refreshAssets(work: LongWork = {}): Promise<Assets> {
  const manifest = join(home().assets, `assets-${hostArchitecture()}.json`);
  await mkdir(home().assets, { recursive: true });
  await writeManifest(manifest, {});
  return ensureAssets(work);
}

async function obtainQemu(architecture: Architecture, work: LongWork): Promise<string> {
  const present = await locateQemu(architecture);
  if (present) return present;
  if (canInstall()) await aptInstall([architecture === "x64" ? "qemu-system-x86" : "qemu-system-arm"], work);
  const path = await locateQemu(architecture);
  if (path) return path;
  throw qemuMissing(architecture);
}

/** What is thrown where there is no QEMU. */
export function qemuMissing(architecture: Architecture): AssetsError {
  return new AssetsError(`there is no ${qemuBinary(architecture)} on the PATH`, { hint: installHint() });
}

/** Every start looks here: a hundred stats take half a millisecond like this. What is unpacked anew has another time of change. */
function stampOf(paths: readonly string[]): string {
  const hash = createHash("sha256");
  for (const path of paths) {
    const { ctimeMs, mtimeMs, size } = statSync(path);
    hash.update(`${path} ${ctimeMs} ${mtimeMs} ${size}\0`);
  }
  return hash.digest("hex");
}

async function writeManifest(path: string, content: object): Promise<void> {
  await using _lock = await acquireLock(`${path}.lock`);
  await replace(path, (partial) => writeFile(partial, JSON.stringify(content, null, 2)));
}

async function readManifest(path: string): Promise<Manifest | undefined> {
  try {
    const manifest = v.parse(Manifest, JSON.parse(await readFile(path, "utf8")));
    await Promise.all([stat(manifest.kernel.vmlinuz), stat(manifest.initramfs)]);
    return manifest;
  } catch {
    return undefined;
  }
}
