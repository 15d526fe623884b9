import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { type BuildEvent, buildImage, exportBuild, home } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark, type Case, percentile } from "./support/benchmark.js";

const CLI = join(import.meta.dirname, "../dist/cli/main.js");
/** What each instruction of the long build writes. */
const WRITTEN = 2 ** 20;
const LONG = 20;

await main();

/** Builds of a small project, with everything found again, with one line changed and whole; and what buildah takes for the same. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    const project = await makeProject(folder);
    const runs = Number(process.env.SUPERMACHINE_BENCH_RUNS ?? 10);
    await cached(project, runs);
    await changed(project, runs);
    await whole(project, Math.min(runs, 5));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Project {
  folder: string;
  context: string;
  base: string;
}

async function makeProject(folder: string): Promise<Project> {
  const context = join(folder, "context");
  mkdirSync(join(context, "src"), { recursive: true });
  for (let i = 0; i < 200; i++) writeFileSync(join(context, "src", `file-${i}.js`), `export const value = ${i};\n`);
  return { folder, context, base: `oci-archive:${(await busyboxImage()).archive}` };
}

/** A Dockerfile like that of most projects; `last` is what its last command prints, `first` makes all of it new. */
function dockerfile({ base }: Project, { first = "first", last = "last" }: { first?: string; last?: string }): string {
  return `FROM ${base}
WORKDIR /app
RUN echo ${first} > /packages && head -c 1000000 /dev/zero > /library
COPY src src
ENV MODE=production
RUN ls src | wc -l > count
RUN echo ${last} > last && echo done
CMD ["cat", "count"]
`;
}

async function cached(project: Project, runs: number): Promise<void> {
  const path = join(project.context, "Dockerfile");
  writeFileSync(path, dockerfile(project, {}));
  // A name of its own, lest each of the two takes the other's snapshot away.
  const argv = [CLI, "build", "-q", "-t", "bench-build-cli", project.context];
  await benchmark({
    name: "build-cached",
    title: "A build that finds everything, from the start of the program to its end",
    rival: "buildah bud --layers",
    runs,
    warmups: 2,
    cases: [
      { name: "supermachine build", target: 150, run: async () => void (await execa("node", argv)) },
      { name: "buildImage() in a running program", run: async () => void (await ours(project, {})) },
      buildahCase("buildah bud --layers", project, () => ({})),
    ],
    facts: async () => ({ target: "at most half of the rival's time: 2 times faster" }),
  });
}

async function changed(project: Project, runs: number): Promise<void> {
  const layers: number[] = [];
  await benchmark({
    name: "build-changed",
    title: "A build with one line changed in its last RUN",
    rival: "buildah bud --layers",
    runs,
    cases: [
      {
        name: "buildImage(), the command and the bake included",
        target: 1_000,
        run: async (round) => {
          layers.push(await ours(project, { last: `line-${Date.now()}-${round}` }));
        },
      },
      buildahCase("buildah bud --layers", project, (round) => ({ last: `line-${Date.now()}-${round}` })),
    ],
    facts: async () => ({
      "from the end of the command to its layer in the store": `${percentile(layers, 50).toFixed(0)} ms (target <= 60 ms)`,
    }),
  });
}

async function whole(project: Project, runs: number): Promise<void> {
  await benchmark({
    name: "build-whole",
    title: "A build of which nothing is known yet, its base included in the store",
    rival: "buildah bud --layers",
    runs,
    cases: [
      {
        name: "buildImage(), the bake included",
        run: async (round) => void (await ours(project, { first: `round-${Date.now()}-${round}` })),
      },
      buildahCase("buildah bud --layers", project, (round) => ({ first: `round-${Date.now()}-${round}` })),
    ],
    facts: () => sizeOnDisk(project),
  });
}

/** Builds; gives the milliseconds from the last command's last word to its layer. */
async function ours(project: Project, lines: { first?: string; last?: string }): Promise<number> {
  const times = new Map<string, number>();
  const onBuild = (event: BuildEvent) => times.set(event.kind === "step" ? event.state : event.kind, performance.now());
  const { context } = project;
  await buildImage({ context, dockerfile: dockerfile(project, lines), names: ["bench-build"], onBuild });
  return (times.get("finished") ?? 0) - (times.get("output") ?? 0);
}

function buildahCase(name: string, project: Project, lines: (round: number) => Parameters<typeof dockerfile>[1]): Case {
  const { folder, context } = project;
  const path = join(folder, "Dockerfile.buildah");
  const stores = ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs"];
  return {
    name,
    run: async (round) => {
      writeFileSync(path, dockerfile(project, lines(round)));
      const how = ["--isolation", "chroot", "--layers", "-q", "-f", path, "-t", "bench-build"];
      await execa("buildah", [...stores, "bud", ...how, context], { env: { TMPDIR: folder } });
    },
  };
}

/** Of a build with many instructions, each of which writes as much: its layers, compared with what was written. */
async function sizeOnDisk({ folder, context, base }: Project): Promise<Record<string, string>> {
  const name = Date.now();
  const commands = Array.from({ length: LONG }, (_, i) => `RUN head -c ${WRITTEN} /dev/urandom > /${name}-${i}`);
  const outputs = [{ type: "oci" as const, dest: join(folder, "long.tar") }];
  const before = await bytesBelow(home().layers);
  await exportBuild({ context, dockerfile: [`FROM ${base}`, ...commands, ""].join("\n"), outputs });
  const times = ((await bytesBelow(home().layers)) - before) / (LONG * WRITTEN);
  return { [`${LONG} instructions that write 1 MiB each, on disk`]: `${times.toFixed(2)} times that (target <= 1.5)` };
}

async function bytesBelow(path: string): Promise<number> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).blocks * 512),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
