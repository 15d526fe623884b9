import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type BuildEvent,
  CacheInvalidError,
  type ExportOptions,
  exportBuild,
  home,
  parseCacheSource,
  parseCacheTarget,
  verifyStore,
} from "../../src/index.js";
import { startRegistry } from "../support/registry/docker-registry.js";
import { pushBusybox } from "../support/registry/push.js";
import { freshHome } from "../support/test-home.js";

/** Needs no machine: what is tested is what is found again. */
const DOCKERFILE = `FROM scratch AS first
COPY a /a
FROM scratch AS second
COPY b /b
FROM scratch
COPY --from=first / /
COPY --from=second / /
`;

let current: ReturnType<typeof freshHome>;
let folder: string;
let context: string;

beforeEach(() => {
  current = freshHome([]);
  folder = mkdtempSync(join(tmpdir(), "supermachine-cache-"));
  context = join(folder, "context");
  mkdirSync(context);
  for (const name of ["a", "b"]) writeFileSync(join(context, name), `${name}\n`);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  current[Symbol.dispose]();
});

/** Builds, and gives how the steps ended and what was warned of. */
async function build(options: Partial<ExportOptions> = {}) {
  const events: BuildEvent[] = [];
  const onBuild = (event: BuildEvent) => events.push(event);
  const outputs = [{ type: "oci", dest: join(folder, "out.tar") } as const];
  const built = await exportBuild({ context, dockerfile: DOCKERFILE, outputs, onBuild, ...options });
  const ended = events.flatMap((event) => (event.kind === "step" && event.state !== "started" ? [event] : []));
  const states = ended.toSorted((a, b) => a.number - b.number).map(({ state }) => state);
  const warnings = events.flatMap((event) => (event.kind === "warning" ? [event.message] : []));
  return { id: built.outputs[0]?.id, states, warnings };
}

const ALL = Array(4).fill("cached");

test("instructions of named stages are run anew", async () => {
  await build();
  expect((await build()).states).toEqual(ALL);
  expect((await build({ noCacheFilter: ["FIRST"] })).states.slice(0, 2)).toEqual(["finished", "cached"]);
  expect((await build({ noCacheFilter: ["0", "second"] })).states.slice(0, 2)).toEqual(["finished", "finished"]);
  await build();
  expect((await build({ noCacheFilter: ["2"] })).states).toEqual(["cached", "cached", "finished", "finished"]);
  await expect(build({ noCacheFilter: ["third"] })).rejects.toThrow("no stage third");
});

/** As another machine: the same context, another home. */
async function elsewhere<T>(use: () => Promise<T>): Promise<T> {
  using _home = freshHome([]);
  return await use();
}

test("a folder gives other machines what was built, all of it with mode=max", async () => {
  const [max, min] = [join(folder, "max"), join(folder, "min")];
  const cacheTo = [parseCacheTarget(`type=local,dest=${max},mode=max`), parseCacheTarget(`type=local,dest=${min}`)];
  const { id } = await build({ cacheTo });
  const [fromMax, fromMin] = [max, min].map((src) => [parseCacheSource(`type=local,src=${src}`)]);
  await elsewhere(async () => {
    expect(await build({ cacheFrom: fromMax, cacheTo })).toEqual({ id, states: ALL, warnings: [] });
    expect((await build()).states).toEqual(ALL);
  });
  await elsewhere(async () => {
    const { states, warnings } = await build({ cacheFrom: fromMin });
    expect([states.slice(0, 2), warnings]).toEqual([["finished", "finished"], []]);
  });
  expect(await readdir(max)).toEqual(["blobs", "index.json", "oci-layout"]);
  await expect(build({ cacheTo: [{ type: "local", dest: context }] })).rejects.toThrow("is no build cache");
  expect(await readdir(context)).toEqual(["a", "b"]);
});

test("a cache that is missing, damaged or something else is a warning, and nothing false is taken from it", async () => {
  const cache = join(folder, "cache");
  const cacheFrom = [parseCacheSource(`type=local,src=${cache}`)];
  const { warnings } = await build({ cacheFrom, cacheTo: [{ type: "local", dest: cache, mode: "max" }] });
  expect(warnings).toEqual([expect.stringContaining(`there is no folder ${cache}`)]);
  const blobs = join(cache, "blobs/sha256");
  const isLayer = (name: string) => readFileSync(join(blobs, name)).subarray(257, 262).toString() === "ustar";
  const [layer] = (await readdir(blobs)).filter(isLayer);
  const intact = readFileSync(join(blobs, layer ?? ""));
  writeFileSync(join(blobs, layer ?? ""), Buffer.concat([intact.subarray(1), Buffer.alloc(1)]));
  await elsewhere(async () => {
    const second = await build({ cacheFrom });
    expect(second.warnings).toEqual([expect.stringContaining("not used any further")]);
    expect(second.states).toContain("finished");
    expect(readFileSync(join(folder, "out.tar")).includes("b\n")).toBe(true);
  });
  await exportBuild({
    context,
    dockerfile: DOCKERFILE,
    outputs: [{ type: "oci", dest: join(folder, "i"), tar: false }],
  });
  const others = [join(folder, "i"), context].map((src) => ({ type: "local", src }) as const);
  expect((await build({ cacheFrom: others })).warnings.sort().reverse()).toEqual([
    expect.stringContaining("is an image, not a build cache"),
    expect.stringContaining("is not used"),
  ]);
});

test("a registry holds bases", async () => {
  await using registry = await startRegistry();
  await pushBusybox(`${registry.host}/team/base:1`);
  const dockerfile = `FROM ${registry.host}/team/base:1\nCOPY a /a\n`;
  expect((await build({ dockerfile, pull: "always" })).states).toEqual(["finished"]);
  expect((await build({ dockerfile, pull: "never" })).states).toEqual(["cached"]);
});

test("a registry holds a cache, too", async () => {
  await using registry = await startRegistry();
  const name = `${registry.host}/team/app:cache`;
  const { id } = await build({ cacheTo: [parseCacheTarget(`type=registry,ref=${name},mode=max`)] });
  await elsewhere(async () => {
    const built = await build({ cacheFrom: [parseCacheSource(`${registry.host}/team/none`), parseCacheSource(name)] });
    expect(built).toMatchObject({ id, states: ALL, warnings: [expect.stringContaining("team/none")] });
  });
});

test("two builds of the same at a time do each instruction once", async () => {
  const outputs = ["one", "two"].map((name) => [{ type: "oci", dest: join(folder, name) } as const]);
  const both = await Promise.all(outputs.map((each) => build({ outputs: each })));
  expect(both[0]?.id).toBe(both[1]?.id);
  const states = both.flatMap((each) => each.states);
  expect(states.filter((state) => state === "finished")).toHaveLength(4);
});

test("a layer whose body is damaged is not written out, and made anew once doctor has removed it", async () => {
  const whole = await build();
  // The first block and the length are right; a byte of a file is not.
  for (const name of await readdir(home().layers)) {
    const path = join(home().layers, name);
    const bytes = readFileSync(path);
    bytes[bytes.length - 4096] = (bytes[bytes.length - 4096] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }
  const oci = { type: "oci", dest: join(folder, "again.tar") } as const;
  for (const output of [
    oci,
    { ...oci, squash: true },
    { type: "tar", dest: oci.dest },
    { type: "erofs", dest: oci.dest },
  ] as const) {
    const error = await build({ outputs: [output] }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(CacheInvalidError);
    expect(String(error)).toMatch(/the layer sha256:\w+ is damaged: its content is corrupt.*\n.*doctor --fix/);
    expect(existsSync(oci.dest)).toBe(false);
  }
  const cacheTo = [parseCacheTarget(`type=local,dest=${join(folder, "cache")}`)];
  await expect(build({ outputs: [], cacheTo })).rejects.toThrow("is damaged");
  expect((await verifyStore({ fix: true })).problems).toHaveLength(2);
  const again = await build();
  expect(again.states).toEqual(expect.arrayContaining(["finished"]));
  expect(again.states).toHaveLength(4);
  expect(whole.states).toHaveLength(4);
});

test("a damaged record or layer is made anew", async () => {
  await build();
  const steps = join(home().builds, "steps");
  for (const name of await readdir(steps)) {
    const path = join(steps, name);
    writeFileSync(path, readFileSync(path, "utf8").replace(/"createdAt":"20/, '"createdAt":"19'));
  }
  expect((await build()).states).not.toContain("cached");
  expect((await build()).states).toEqual(ALL);
  for (const name of await readdir(home().layers)) {
    const path = join(home().layers, name);
    writeFileSync(path, readFileSync(path).subarray(0, -4096));
  }
  expect((await build()).states.slice(0, 2)).toEqual(["finished", "finished"]);
  expect((await build()).states).toEqual(ALL);
});
