import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ensureAssets, refreshAssets } from "../../src/assets/index.js";
import { AssetsError, NetworkError } from "../../src/errors.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { FakeSystem, kernelPackage } from "./fake-system.js";

const system = vi.hoisted(() => ({ release: "ID=debian\n" }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const read = (path: string, ...rest: never[]) =>
    path === "/etc/os-release" ? system.release : real.readFileSync(path, ...rest);
  return { ...real, readFileSync: read };
});

let folder: ReturnType<typeof temporaryFolder>;
let fake: FakeSystem;
beforeEach(() => {
  folder = temporaryFolder();
  fake = new FakeSystem(folder.path);
  system.release = "ID=debian\n";
  // Nobody may install or download anything.
  vi.spyOn(process, "getuid").mockReturnValue(1000);
  vi.stubGlobal("fetch", () => Promise.reject(new Error("no network")));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  folder[Symbol.dispose]();
});
const stored = (...path: string[]) => join(fake.home, "assets", ...path);

describe("the assets", () => {
  test("are found or made, and from then on only looked at", async () => {
    const assets = await ensureAssets();
    expect(assets.qemu).toEqual({ path: fake.qemu, version: "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)" });
    expect(assets.kernel.name).toBe(kernelPackage("6.1.0-77"));
    expect(readFileSync(assets.kernel.vmlinuz, "utf8")).toBe("the kernel");
    const calls = fake.log().map((line) => line.split(" ")[0]);
    expect(calls.toSorted()).toEqual(["apt-cache", "apt-get", "cc", assets.qemu.path.split("/").at(-1)].toSorted());
    expect(await ensureAssets()).toEqual(assets);
    expect(fake.log()).toEqual([]);
  });

  test("have the agent and the modules, in the order to load them, in the initramfs", async () => {
    const { initramfs } = await ensureAssets();
    const content = readFileSync(initramfs, "latin1");
    expect(content).toContain("agent\n");
    const names = /modules\/order\0+((?:\d\d-\w+\.ko\n)+)/.exec(content)?.[1]?.trim().split("\n") ?? [];
    expect(names).toHaveLength(16);
    expect(names).toEqual(readdirSync(stored(kernelPackage("6.1.0-77"), "modules")).sort());
    for (const name of names) expect(content).toContain(`modules/${name}\0`);
  });

  test("leave nothing half-made or superfluous behind", async () => {
    await ensureAssets();
    const names = readdirSync(stored()).map((name) => name.replace(/[0-9a-f]{16}|-x64|-arm64/g, "").replace(/-+/, "-"));
    expect(names.sort()).toEqual(["agent-", "assets.json", "initramfs-.cpio", kernelPackage("6.1.0-77")].sort());
    expect(readdirSync(stored(kernelPackage("6.1.0-77"))).sort()).toEqual(["modules", "vmlinuz", "vmlinuz.sha256"]);
  });

  test("follow an update of QEMU", async () => {
    await ensureAssets();
    fake.log();
    fake.script(fake.qemu.split("/").at(-1) ?? "", 'echo "QEMU emulator version 8.0.1"');
    utimesSync(fake.qemu, 1, 1);
    expect((await ensureAssets()).qemu.version).toBe("8.0.1");
    expect(fake.log().some((line) => line.startsWith("apt-get"))).toBe(false);
  });

  test("are known to each package that has the same ones, until something of them changes", async () => {
    await ensureAssets();
    const path = stored(`assets-${process.arch}.json`);
    const manifest = () => JSON.parse(readFileSync(path, "utf8")) as { stamps: string[] };
    const [own] = manifest().stamps;
    writeFileSync(path, JSON.stringify({ ...manifest(), stamps: ["of another package"] }));
    await ensureAssets();
    expect(manifest().stamps).toEqual([own, "of another package"]);
    fake.script(fake.qemu.split("/").at(-1) ?? "", 'echo "QEMU emulator version 8.0.1"');
    await ensureAssets();
    expect(manifest().stamps).toEqual([expect.not.stringMatching(own ?? "")]);
  });

  test("take a newer kernel when they are asked to look again, and not before", async () => {
    const first = await ensureAssets();
    fake.kernel("6.1.0-78");
    expect(await ensureAssets()).toEqual(first);
    expect((await refreshAssets()).kernel.name).toBe(kernelPackage("6.1.0-78"));
    expect((await ensureAssets()).kernel.name).toBe(kernelPackage("6.1.0-78"));
  });

  test.each<[string, () => void]>([
    [
      "the manifest",
      () => writeFileSync(stored(readdirSync(stored()).find((name) => name.endsWith(".json")) ?? ""), "{"),
    ],
    ["the initramfs", () => rmSync(stored(readdirSync(stored()).find((name) => name.endsWith(".cpio")) ?? ""))],
    ["the kernel", () => rmSync(stored(kernelPackage("6.1.0-77"), "vmlinuz"))],
    ["the modules", () => rmSync(stored(kernelPackage("6.1.0-77")), { recursive: true })],
    ["the agent", () => rmSync(stored(readdirSync(stored()).find((name) => name.startsWith("agent")) ?? ""))],
    ["everything", () => rmSync(fake.home, { recursive: true })],
  ])("are mended when %s is damaged or gone", async (_, damage) => {
    const before = await ensureAssets();
    damage();
    expect(await ensureAssets()).toEqual(before);
    expect(statSync(before.kernel.vmlinuz).size).toBe("the kernel".length);
    expect(statSync(before.initramfs).size).toBeGreaterThan(0);
  });

  test("are made once by two that want them", async () => {
    const [one, two] = await Promise.all([ensureAssets(), ensureAssets()]);
    expect(one).toEqual(two);
    expect(fake.log().filter((line) => /^(cc|apt-get)/.test(line))).toHaveLength(2);
  });

  test("tell what takes long", async () => {
    const events: string[] = [];
    await ensureAssets({
      onProgress: ({ phase, item, finished }) => events.push(`${phase} ${item} ${finished ?? ""}`),
    });
    const kernel = `setup kernel ${kernelPackage("6.1.0-77")}`;
    expect(events).toEqual([
      "setup compiling the agent ",
      "setup compiling the agent true",
      `${kernel} `,
      `${kernel} true`,
    ]);
  });
});

describe("without package lists", () => {
  test("the newest kernel that was unpacked before is used", async () => {
    for (const version of ["6.1.0-9", "6.1.0-77", "5.10.0-100"]) {
      fake.kernel(version);
      await refreshAssets();
    }
    fake.kernel();
    expect((await refreshAssets()).kernel.name).toBe(kernelPackage("6.1.0-77"));
  });

  test("what is half-unpacked is no kernel", async () => {
    fake.kernel("6.1.0-9");
    await refreshAssets();
    mkdirSync(stored(`${kernelPackage("6.1.0-77")}.partial`));
    fake.kernel();
    expect((await refreshAssets()).kernel.name).toBe(kernelPackage("6.1.0-9"));
  });
});

describe("what goes wrong is told with what to do", () => {
  test("there is no QEMU", async () => {
    rmSync(fake.qemu);
    await expect(ensureAssets()).rejects.toThrow(AssetsError);
    await expect(ensureAssets()).rejects.toThrow(/there is no qemu-system-\w+ on the PATH\n.*sudo apt-get install/);
  });

  test("there is no compiler, or it fails", async () => {
    fake.script("cc", "echo 'agent.c:1: error: no stdio.h' >&2; exit 1");
    const error = await ensureAssets().catch((each: unknown) => each);
    expect(error).toBeInstanceOf(AssetsError);
    expect((error as Error).message).toMatch(/cc could not compile the guest's agent\n.*sudo apt-get install/);
    expect(String((error as Error).cause)).toContain("no stdio.h");
    rmSync(join(folder.path, "bin/cc"));
    await expect(ensureAssets()).rejects.toThrow(/there is no C compiler/);
    expect(readdirSync(stored())).toEqual([]);
  });

  test("the kernel cannot be downloaded, and nothing of it stays", async () => {
    fake.script("apt-get", "exit 100");
    await expect(ensureAssets()).rejects.toThrow(/could not download linux-image-.*\n.*apt-get update/);
    expect(readdirSync(stored()).filter((name) => name.startsWith("linux"))).toEqual([]);
  });

  test("the pinned kernel cannot be reached, or is not what was pinned", async () => {
    system.release = "ID=fedora\n";
    vi.stubGlobal("fetch", async () => new Response("gone", { status: 404 }));
    await expect(ensureAssets()).rejects.toThrow(NetworkError);
    vi.stubGlobal("fetch", async () => new Response("something else"));
    await expect(ensureAssets()).rejects.toThrow(/has SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}; it was not used/);
    expect(readdirSync(stored()).filter((name) => name.startsWith("linux"))).toEqual([]);
  });

  test("it is aborted", async () => {
    fake.script("apt-get", "exec cat /dev/zero > /dev/null");
    const controller = new AbortController();
    const onProgress = ({ item }: { item: string }) => {
      if (item.startsWith("kernel")) setTimeout(() => controller.abort(new Error("enough")), 50);
    };
    await expect(ensureAssets({ signal: controller.signal, onProgress })).rejects.toThrow("enough");
    expect(readdirSync(stored()).filter((name) => name.startsWith("linux"))).toEqual([]);
  });
});
