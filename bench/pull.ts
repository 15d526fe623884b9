import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { startRegistry } from "../test/support/registry/docker-registry.js";
import { pushFrom } from "../test/support/registry/push.js";
import { benchmark, type Case } from "./support/benchmark.js";
import { APPLICATION, type DebianImage, debianImage, LARGE } from "./support/debian-image.js";

await main();

/** Pulls an image from a registry on this machine into an empty store, and compares with what containers' tools take. */
async function main(): Promise<void> {
  await using registry = await startRegistry();
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    const application = await debianImage("application", APPLICATION);
    const reference = `${registry.host}/bench/application:1`;
    await pushFrom(`oci:${application.layout}:latest`, reference);
    const peaks: number[] = [];
    const rival = containerTools(folder, reference, application);
    await benchmark({
      name: "pull",
      title: `An image of ${megabytes(application.unpacked)} (${megabytes(application.packed)} packed), from a registry to file systems`,
      runs: 5,
      rival: rival.name,
      cases: [ours(folder, reference, application, peaks), rival],
      facts: async () => ({
        target: "at most 0.8 times the time of the rival, which is 1.25 times faster",
        "most memory in use, this image": `${Math.max(...peaks).toFixed(0)} MiB (target < 200 MiB)`,
        ...(await large(folder, registry.host)),
      }),
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

function ours(folder: string, reference: string, { unpacked }: DebianImage, peaks: number[]): Case {
  return {
    name: "supermachine: fetch, verify, convert",
    bytes: unpacked,
    before: () => clear(folder),
    run: async () => {
      const { ms, peakMiB } = await pull(folder, reference);
      peaks.push(peakMiB);
      return ms;
    },
  };
}

function containerTools(folder: string, reference: string, { unpacked }: DebianImage): Case {
  const layout = join(folder, "layout");
  return {
    name: "skopeo copy, then umoci unpack",
    bytes: unpacked,
    before: () => clear(folder),
    run: async () => {
      const copy = ["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"];
      await execa("skopeo", [...copy, `docker://${reference}`, `oci:${layout}:1`]);
      await execa("umoci", ["unpack", "--image", `${layout}:1`, join(folder, "bundle")]);
    },
  };
}

/** Once: its time is not compared, its memory is the question. */
async function large(folder: string, host: string): Promise<Record<string, string>> {
  const image = await debianImage("large", LARGE);
  const reference = `${host}/bench/large:1`;
  await pushFrom(`oci:${image.layout}:latest`, reference);
  await clear(folder);
  const { ms, peakMiB } = await pull(folder, reference);
  return {
    [`most memory in use, an image of ${megabytes(image.unpacked)}`]: `${peakMiB.toFixed(0)} MiB (target < 200 MiB)`,
    [`time for the image of ${megabytes(image.unpacked)}`]: `${(ms / 1000).toFixed(1)} s`,
  };
}

async function pull(folder: string, reference: string): Promise<{ ms: number; peakMiB: number }> {
  const child = join(import.meta.dirname, "support/pull-child.ts");
  const env = { SUPERMACHINE_HOME: join(folder, "home") };
  const { stdout } = await execa("node", ["--import", "tsx", child, reference], { env });
  return JSON.parse(stdout);
}

/** What was written before is on disk, so that nobody's time has another's writes in it. */
async function clear(folder: string): Promise<void> {
  for (const name of ["home", "layout", "bundle"]) await rm(join(folder, name), { recursive: true, force: true });
  await execa("sync");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
