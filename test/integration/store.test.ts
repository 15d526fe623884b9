import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CacheMissError, home, Image, listImages, prune, removeImages, verifyStore } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { LayoutBuilder } from "../support/layout-builder.js";
import { litter, remainingWorkers } from "../support/leftovers.js";
import { Cleanup } from "../support/registry/cleanup.js";
import { startRegistry } from "../support/registry/docker-registry.js";
import { putLayout } from "../support/registry/put.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";

let busybox: string;
let current: ReturnType<typeof freshHome>;
let children: ChildProcess[];

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});
beforeEach(() => {
  children = [];
  current = freshHome();
  // Templates are pruned here: the suite's own have to stay.
  rmSync(join(current.path, "templates"));
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  expect(await remainingWorkers()).toEqual([]);
  current[Symbol.dispose]();
});

function start(what: string, seed: number, ...references: string[]): ChildProcess {
  const execArgv = ["--import", "tsx"];
  const args = [what, String(seed), ...references];
  const child = fork("test/support/store-process.ts", args, { execArgv, stdio: "inherit" });
  children.push(child);
  return child;
}

/** The kinds of what is pruned, apart from the assets, which are the suite's. */
async function prunedKinds(): Promise<string[]> {
  const { removed } = await prune({ all: true });
  return removed
    .map(({ kind }) => kind as string)
    .filter((kind) => kind !== "asset")
    .sort();
}

async function nextWord(child: ChildProcess): Promise<string> {
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the process ended with ${code}`);
  });
  const [word] = (await Promise.race([once(child, "message"), ended])) as [string];
  return word;
}

const layers = () => readdirSync(home().layers);

describe("an image that VMs run from", () => {
  test("is removed and pruned, and they go on, of this process and of another", async () => {
    const child = start("hold", 1, busybox);
    expect(await nextWord(child)).toBe("running");
    const image = await Image.fromOci(busybox);
    await using vm = await image.start();
    await removeImages([image.name]);
    expect(await prunedKinds()).toEqual(["layer", "template"]);
    expect(layers()).toEqual([]);

    const script = "find / -xdev -type f | xargs cat | wc -c; echo $((6 * 7))";
    const { stdout } = await vm.run(["sh", "-c", script]);
    expect(stdout).toMatch(/^\d{6,}\n42\n$/);
    const answer = nextWord(child);
    child.send("go");
    expect(await answer).toBe(stdout);
    await once(child, "exit");

    await expect(image.start()).rejects.toMatchObject({ code: /ERR_SUPERMACHINE_CACHE_/ });
    await expect(vm.snapshot(join(current.path, "late"))).rejects.toMatchObject({ code: /ERR_SUPERMACHINE_CACHE_/ });
    expect(existsSync(join(current.path, "late"))).toBe(false);
    // Everything is made again when it is asked for.
    await using again = await (await Image.fromOci(busybox)).start();
    expect((await again.run(["sh", "-c", script])).stdout).toBe(stdout);
  });

  test("keeps its layers for a snapshot of theirs elsewhere", async () => {
    const image = await Image.fromOci(busybox);
    const elsewhere = join(current.path, "elsewhere");
    await using vm = await image.start();
    await vm.writeFile("/kept", "kept");
    await vm.snapshot(elsewhere);
    await removeImages([image.name]);
    expect(await prunedKinds()).toEqual([]);
    await using clone = await (await Image.fromSnapshot(elsewhere)).start();
    expect(await clone.readFile("/kept", "utf8")).toBe("kept");
    rmSync(elsewhere, { recursive: true });
    expect(await prunedKinds()).toEqual(["layer", "template"]);
  });
});

describe("a damaged store", () => {
  test("is found, fixed, and made anew by the next run", async () => {
    const image = await Image.fromOci(busybox);
    // The machine that was baked is the first VM, and has read the layer already.
    await (await image.start()).stop();
    const layer = join(home().layers, layers()[0] ?? "");
    const bytes = readFileSync(layer);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(layer, bytes);
    expect((await verifyStore()).problems).toMatchObject([{ kind: "layer", path: layer, fixed: false }]);
    await verifyStore({ fix: true });
    await expect((await Image.fromSnapshot((await listImages())[0]?.path ?? "")).start()).rejects.toThrow(
      CacheMissError,
    );
    await using vm = await (await Image.fromOci(busybox)).start();
    expect((await vm.run(["echo", "42"])).stdout).toBe("42\n");
    expect((await verifyStore()).problems).toEqual([]);
  });
});

describe("processes that use the stores at once", () => {
  const cleanup = new Cleanup();
  let references: string[];
  beforeAll(async () => {
    const registry = cleanup.use(await startRegistry());
    const base = await baseLayer();
    references = await Promise.all(
      ["1", "2"].map(async (tag) => {
        const builder = new LayoutBuilder();
        const extra = new TarBuilder().file(`only-in-${tag}`, tag.repeat(50_000)).finish();
        const image = builder.image({ layers: [base, extra], config: { config: { Env: ["PATH=/bin:/usr/bin"] } } });
        await putLayout(builder, registry.host, "team/app", [image], tag);
        return `${registry.host}/team/app:${tag}`;
      }),
    );
  });
  afterAll(() => cleanup.end());

  test("leave them whole, however they pull, bake, run, remove, prune and verify", async () => {
    for (const seed of [1, 2, 3]) start("churn", seed, ...references);
    const answers = await Promise.all(children.map(nextWord));
    await Promise.all(children.map((child) => child.exitCode ?? once(child, "exit")));
    for (const count of answers) expect(Number(count)).toBeGreaterThan(0);
    expect((await verifyStore()).problems).toEqual([]);
    expect(litter()).toEqual([]);

    for (const reference of references) {
      await using vm = await (await Image.fromOci(reference)).start();
      expect((await vm.run(["sh", "-c", "ls / | grep only"])).stdout).toBe(`only-in-${reference.at(-1)}\n`);
    }
    // Two images with a layer in common.
    expect(layers()).toHaveLength(3);
    await removeImages(references, { force: true });
    await prune({ all: true });
    expect([layers(), readdirSync(join(home().blobs, "sha256")), readdirSync(home().templates)]).toEqual([[], [], []]);
  });
});

/** The archive of busybox's one layer. */
async function baseLayer(): Promise<Buffer> {
  const folder = join((await busyboxImage()).layout, "blobs/sha256");
  const blobs = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
  return gunzipSync(blobs.sort((a, b) => b.length - a.length)[0] ?? Buffer.alloc(0));
}
