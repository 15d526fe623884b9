import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Architecture } from "../engine/index.js";
import { AssetsError } from "../errors.js";
import { packageRoot } from "../package-root.js";
import type { LongWork } from "../progress.js";
import { produceOnce } from "../store/index.js";
import { aptInstall, canInstall, installHint } from "./packages.js";
import { findProgram } from "./qemu.js";
import { runProgram } from "./run-program.js";

/** Where the package keeps the agent's sources, and the binaries that a release brings along. */
const GUEST = join(packageRoot, "guest");
const FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Os", "-static", "-s"];
const COMPILERS: Record<Architecture, string[]> = {
  x64: ["x86_64-linux-gnu-gcc", "x86_64-linux-musl-gcc"],
  arm64: ["aarch64-linux-gnu-gcc", "aarch64-linux-musl-gcc"],
};

/** What decides which agent this package has: its binary, or else its sources. */
export function agentFiles(architecture: Architecture): string[] {
  const prebuilt = prebuiltAgent(architecture);
  return existsSync(prebuilt) ? [prebuilt] : sourceFiles();
}

/** The agent's binary: the one that came with this package, or compiled below `folder`, once for each state of its sources. */
export async function ensureAgent(folder: string, architecture: Architecture, work: LongWork): Promise<string> {
  const prebuilt = prebuiltAgent(architecture);
  if (await exists(prebuilt)) return prebuilt;
  const sources = sourceFiles();
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const source of sources) hash.update(`${basename(source)}\0`).update(readFileSync(source));
  const path = join(folder, `agent-${architecture}-${hash.digest("hex").slice(0, 16)}`);
  const files = sources.filter((name) => name.endsWith(".c"));
  return produceOnce(path, {
    find: async () => ((await exists(path)) ? path : undefined),
    make: (partial) => compile(files, partial, architecture, work),
    ...(work.signal && { signal: work.signal }),
  });
}

function prebuiltAgent(architecture: Architecture): string {
  return join(GUEST, "prebuilt", `agent-${architecture}`);
}

function sourceFiles(): string[] {
  const folder = join(GUEST, "src");
  const names = readdirSync(folder).filter((name) => /\.[ch]$/.test(name));
  return names.sort().map((name) => join(folder, name));
}

/** A C compiler that makes Linux binaries for `architecture`. */
async function findCompiler(architecture: Architecture): Promise<string | undefined> {
  const native = process.platform === "linux" && process.arch === architecture;
  for (const name of [...(native ? ["cc", "gcc", "clang"] : []), ...COMPILERS[architecture]]) {
    if (await findProgram(name)) return name;
  }
  return undefined;
}

async function compile(files: string[], output: string, architecture: Architecture, work: LongWork): Promise<void> {
  if (!(await findCompiler(architecture)) && canInstall()) await aptInstall(["gcc", "libc6-dev"], work);
  const compiler = await findCompiler(architecture);
  if (!compiler)
    throw new AssetsError(`there is no C compiler for the guest's agent (${architecture})`, { hint: installHint() });
  const step = { phase: "setup" as const, item: "compiling the agent" };
  work.onProgress?.(step);
  const options = work.signal ? { cancelSignal: work.signal } : {};
  await runProgram(compiler, [...FLAGS, "-o", output, ...files], options).catch((cause: unknown) => {
    work.signal?.throwIfAborted();
    throw new AssetsError(`${compiler} could not compile the guest's agent`, { cause, hint: installHint() });
  });
  work.onProgress?.({ ...step, finished: true });
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
