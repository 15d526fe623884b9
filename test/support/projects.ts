import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import type { PreparedImage } from "./images.js";
import { freshHome } from "./test-home.js";

/** A real project in `test/support/projects`: its sources and its Dockerfile. */
export type Project = "python" | "node" | "c";

/** What a guest reaches this machine by. */
export const HOST = "host.supermachine.internal";

/**
 * `supermachine build -t hello .` in the project's folder, then `supermachine run hello` with each of the arguments.
 * @returns what the runs printed, and whether they left the baked snapshot and all others as they were
 */
export async function buildAndRun(
  project: Project,
  base: PreparedImage,
  options: { buildArgs?: Record<string, string>; memoryMiB?: number; runs: readonly (readonly string[])[] },
): Promise<{ outputs: string[]; isBakedOnce: boolean }> {
  using home = freshHome();
  const { buildArgs = {}, memoryMiB = 256 } = options;
  const env = { SUPERMACHINE_HOME: home.path, SUPERMACHINE_BUILD_MEMORY_MIB: String(memoryMiB) };
  const cli = join(import.meta.dirname, "../../dist/cli/main.js");
  const cwd = join(import.meta.dirname, "projects", project);
  const supermachine = async (...argv: string[]) =>
    (await execa("node", [cli, ...argv], { cwd, env, input: "" })).stdout;
  const values = Object.entries({ BASE: `oci-archive:${base.archive}`, ...buildArgs });
  const args = values.flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
  await supermachine("build", "-t", "hello", "--egress-policy", `allowlist:${HOST}`, ...args, ".");
  const before = snapshots(join(home.path, "snapshots"));
  const outputs: string[] = [];
  for (const argv of options.runs) outputs.push(await supermachine("run", "hello", ...argv));
  const after = snapshots(join(home.path, "snapshots"));
  return { outputs, isBakedOnce: before.length === 1 && before.join() === after.join() };
}

/** Which they are, and which files they consist of: a bake would give others. */
function snapshots(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => statSync(join(folder, name)).isDirectory());
  return names.map((name) => `${name} ${statSync(join(folder, name, "memory.delta")).ino}`);
}
