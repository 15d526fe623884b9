import {
  chmodSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { VmError } from "../../src/errors.js";
import { ensureTemplate, findTemplate, type Runtime, type Size, type Template } from "../../src/machine/index.js";
import { procfs } from "../../src/memory/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { type FakeAgent, FakeHypervisor, fakeAgents } from "./fake-hypervisor.js";

// What lets a kernel come to rest; these guests have none.
vi.mock("node:timers/promises", async (original) => ({
  ...(await original<typeof import("node:timers/promises")>()),
  setTimeout: () => new Promise((resolve) => setImmediate(resolve)),
}));

const SIZE: Size = { memoryMiB: 256, vcpus: 1 };

let folder: ReturnType<typeof temporaryFolder>;
let hypervisor: FakeHypervisor;
let agents: FakeAgent[];
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
  hypervisor = new FakeHypervisor("answers");
  agents = fakeAgents(hypervisor);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function runtime(changes: Partial<Runtime> = {}): Runtime {
  const assets = {
    architecture: "x64" as const,
    qemu: { path: "/qemu", version: "1" },
    kernel: { name: "linux-image-1", vmlinuz: "/kernel/vmlinuz", digest: "digest" },
    initramfs: "/assets/initramfs-abc.cpio",
  };
  return { assets, hypervisor, accelerator: "tcg", memory: procfs, ...changes };
}

describe("a template", () => {
  test("is a guest that was booted and saved, and is found from then on", async () => {
    const template = await ensureTemplate(runtime(), SIZE);
    expect(hypervisor.boots).toMatchObject([
      {
        hardware: { architecture: "x64", accelerator: "tcg", ...SIZE },
        ram: { shared: true },
        source: { kernel: "/kernel/vmlinuz", initramfs: "/assets/initramfs-abc.cpio" },
      },
    ]);
    expect(agents[0]?.log).toEqual(["quiesce", "close"]);
    expect(hypervisor.workers[0]?.log).toEqual(["pause", "save", "kill"]);
    expect(readFileSync(template.deviceState, "utf8")).toBe("device state");
    expect(statSync(template.ram).mode & 0o777).toBe(0o600);
    expect(await ensureTemplate(runtime(), SIZE)).toEqual(template);
    expect(await findTemplate(runtime(), SIZE)).toEqual(template);
    expect(hypervisor.boots).toHaveLength(1);
    expect(readdirSync(dirname(dirname(template.ram)))).toEqual([template.key]);
  });

  test("is not there before it was made", async () => {
    expect(await findTemplate(runtime(), SIZE)).toBeUndefined();
  });

  test("is made once for all that want it at the same time", async () => {
    const [one, two] = await Promise.all([ensureTemplate(runtime(), SIZE), ensureTemplate(runtime(), SIZE)]);
    expect(one).toEqual(two);
    expect(hypervisor.boots).toHaveLength(1);
  });

  test("tells who watches", async () => {
    const events: unknown[] = [];
    await ensureTemplate(runtime(), SIZE, { onProgress: (event) => events.push(event) });
    const step = { phase: "template", item: "256 MiB, 1 vCPU" };
    expect(events).toEqual([step, { ...step, finished: true }]);
  });
});

describe("the key of a template", () => {
  const keyOf = async (changes: Partial<Runtime> = {}, size = SIZE) =>
    (await ensureTemplate(runtime(changes), size)).key;
  const { assets } = runtime();
  const other = () => Object.assign(new FakeHypervisor("answers"), { identity: "fake 2" });

  test.each<[string, () => [Partial<Runtime>, Size]]>([
    ["memory", () => [{}, { ...SIZE, memoryMiB: 257 }]],
    ["number of processors", () => [{}, { ...SIZE, vcpus: 2 }]],
    ["accelerator", () => [{ accelerator: "kvm" }, SIZE]],
    ["kernel", () => [{ assets: { ...assets, kernel: { ...assets.kernel, digest: "other" } } }, SIZE]],
    ["initramfs", () => [{ assets: { ...assets, initramfs: "/assets/initramfs-def.cpio" } }, SIZE]],
    ["architecture", () => [{ assets: { ...assets, architecture: "arm64" } }, SIZE]],
  ])("changes with the %s", async (_, change) => {
    const [first, second] = [await keyOf(), await keyOf(...change())];
    expect(second).not.toBe(first);
    expect(hypervisor.boots).toHaveLength(2);
    expect(await keyOf()).toBe(first);
  });

  test("changes with the hypervisor's version", async () => {
    const first = await ensureTemplate(runtime(), SIZE);
    expect(await findTemplate(runtime({ hypervisor: other() }), SIZE)).toBeUndefined();
    expect(await findTemplate(runtime(), SIZE)).toEqual(first);
  });

  test("is the same wherever kernel and initramfs are kept", async () => {
    const kernel = { ...assets.kernel, vmlinuz: "/elsewhere/vmlinuz" };
    const first = await keyOf();
    expect(await keyOf({ assets: { ...assets, kernel, initramfs: "/elsewhere/initramfs-abc.cpio" } })).toBe(first);
    expect(hypervisor.boots).toHaveLength(1);
  });
});

describe("a template that is damaged", () => {
  test.each<[string, (template: Template) => void]>([
    ["its RAM was written to", ({ ram }) => writeFileSync(ram, Buffer.alloc(8192, 1))],
    ["its RAM was touched", ({ ram }) => utimesSync(ram, 1, 1)],
    ["its RAM was cut", ({ ram }) => truncateSync(ram, 4096)],
    ["its RAM is missing", ({ ram }) => rmSync(ram)],
    ["its device state is missing", ({ deviceState }) => rmSync(deviceState)],
    ["its description is missing", ({ ram }) => rmSync(join(dirname(ram), "template.json"))],
    ["its description is cut", ({ ram }) => truncateSync(join(dirname(ram), "template.json"), 10)],
    ["its description is another", ({ ram }) => writeFileSync(join(dirname(ram), "template.json"), '{"id": 1}')],
  ])("because %s is made anew, and is then another one", async (_, damage) => {
    const first = await ensureTemplate(runtime(), SIZE);
    damage(first);
    expect(await findTemplate(runtime(), SIZE)).toBeUndefined();
    const second = await ensureTemplate(runtime(), SIZE);
    expect(second.key).toBe(first.key);
    expect(second.id).not.toBe(first.id);
    expect(await findTemplate(runtime(), SIZE)).toEqual(second);
  });

  test("is none when only its rights changed", async () => {
    const template = await ensureTemplate(runtime(), SIZE);
    chmodSync(template.ram, 0o400);
    expect(await findTemplate(runtime(), SIZE)).toEqual(template);
  });
});

describe("a boot that fails", () => {
  test("is tried once more", async () => {
    hypervisor.fates = ["dies", "answers"];
    expect(await ensureTemplate(runtime(), SIZE)).toBeDefined();
    expect(hypervisor.boots).toHaveLength(2);
  });

  test("twice is an error that leaves nothing behind", async () => {
    hypervisor.fates = ["dies"];
    await expect(ensureTemplate(runtime(), SIZE)).rejects.toThrow(VmError);
    expect(hypervisor.boots).toHaveLength(2);
    expect(readdirSync(join(folder.path, "templates"))).toEqual([]);
  });

  test("is not tried again when it was aborted", async () => {
    hypervisor.fates = ["silent"];
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(ensureTemplate(runtime(), SIZE, { signal: controller.signal })).rejects.toThrow("enough");
    expect(hypervisor.boots).toHaveLength(1);
    expect(readdirSync(join(folder.path, "templates"))).toEqual([]);
  });
});
