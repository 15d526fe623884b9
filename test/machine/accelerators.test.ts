import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Assets } from "../../src/assets/index.js";
import { AssetsError, UsageError } from "../../src/errors.js";
import { chooseAccelerator } from "../../src/machine/accelerators.js";
import { candidates, forgetAccelerators, isolation, proveAccelerator } from "../../src/machine/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { FakeHypervisor, fakeAgents } from "./fake-hypervisor.js";

/** What this machine shall look like. */
const machine = vi.hoisted(() => ({ kvm: undefined as string | undefined, flags: "vmx" }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const access = async (path: string, mode?: number) => {
    if (path !== "/dev/kvm") return real.access(path, mode);
    if (machine.kvm) throw Object.assign(new Error(machine.kvm), { code: machine.kvm });
  };
  return { ...real, access };
});
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const read = (path: string, ...rest: never[]) =>
    path === "/proc/cpuinfo" ? `flags\t\t: fpu ${machine.flags} nx\n` : real.readFileSync(path, ...rest);
  return { ...real, readFileSync: read };
});

const assets = {
  architecture: "x64",
  qemu: { path: "/qemu", version: "1" },
  kernel: { name: "linux-image-1", vmlinuz: "/vmlinuz", digest: "d" },
  initramfs: "/initramfs",
} satisfies Assets;
const PLATFORM = process.platform;
const pretend = (platform: NodeJS.Platform) => Object.defineProperty(process, "platform", { value: platform });

let folder: ReturnType<typeof temporaryFolder>;
let hypervisor: FakeHypervisor;
let cache: string;
beforeEach(() => {
  folder = temporaryFolder();
  cache = join(folder.path, "assets/accelerators.json");
  mkdirSync(join(folder.path, "assets"));
  vi.stubEnv("SUPERMACHINE_HOME", folder.path);
  vi.stubEnv("SUPERMACHINE_ACCEL", "");
  pretend("linux");
  Object.assign(machine, { kvm: undefined, flags: "vmx" });
  hypervisor = new FakeHypervisor("answers");
  fakeAgents(hypervisor);
});
afterEach(() => {
  pretend(PLATFORM);
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

const choose = () => chooseAccelerator(assets, hypervisor, {});
const prove = (accelerator: "kvm" | "hvf" = "kvm") => proveAccelerator(accelerator, assets, hypervisor, {});

test("each platform has its own accelerator, and emulation last", () => {
  const of = (platform: NodeJS.Platform) => pretend(platform) && candidates();
  expect(of("linux")).toEqual(["kvm", "tcg"]);
  expect(of("darwin")).toEqual(["hvf", "tcg"]);
  expect(of("win32")).toEqual(["whpx", "tcg"]);
  expect(of("freebsd")).toEqual(["tcg"]);
});

test("how guests are separated is told honestly", () => {
  expect((["kvm", "hvf", "whpx", "tcg"] as const).map(isolation)).toEqual([
    "hardware (kvm)",
    "hardware (hvf)",
    "hardware (whpx)",
    "emulated (tcg)",
  ]);
});

describe("the choice", () => {
  test("is the accelerator with which a guest booted", async () => {
    expect(await choose()).toBe("kvm");
    expect(hypervisor.boots).toMatchObject([
      {
        hardware: { architecture: "x64", accelerator: "kvm", vcpus: 1 },
        ram: { shared: true },
        source: { kernel: "/vmlinuz", initramfs: "/initramfs", verbose: true },
      },
    ]);
    expect(hypervisor.workers[0]?.log).toEqual(["kill"]);
  });

  test("falls back to emulation, which needs no boot, where none boots", async () => {
    hypervisor.fates = ["dies"];
    expect(await choose()).toBe("tcg");
    expect(hypervisor.boots.map(({ hardware }) => hardware.accelerator)).toEqual(["kvm"]);
  });

  test("is what the user asks for, if that works", async () => {
    vi.stubEnv("SUPERMACHINE_ACCEL", "hvf");
    expect(await choose()).toBe("hvf");
    vi.stubEnv("SUPERMACHINE_ACCEL", "tcg");
    expect(await choose()).toBe("tcg");
    expect(hypervisor.boots).toHaveLength(1);
  });

  test("is an error when what the user asks for does not work or is none", async () => {
    hypervisor.fates = ["dies"];
    vi.stubEnv("SUPERMACHINE_ACCEL", "kvm");
    await expect(choose()).rejects.toThrow(AssetsError);
    await expect(choose()).rejects.toThrow(/accelerator kvm does not work here: .*QEMU ended \(code 1\)/);
    vi.stubEnv("SUPERMACHINE_ACCEL", "KVM");
    await expect(choose()).rejects.toThrow(UsageError);
    await expect(choose()).rejects.toThrow("SUPERMACHINE_ACCEL is KVM; it can be kvm, hvf, whpx, tcg");
  });
});

describe("a verdict", () => {
  test("is kept, good or bad, each accelerator's by itself", async () => {
    hypervisor.fates = ["answers", "dies"];
    const [kvm, hvf] = [await prove("kvm"), await prove("hvf")];
    expect([kvm.works, hvf.works]).toEqual([true, false]);
    expect([await prove("kvm"), await prove("hvf")]).toEqual([kvm, hvf]);
    expect(hypervisor.boots).toHaveLength(2);
    expect(JSON.parse(readFileSync(cache, "utf8")).verdicts).toEqual([kvm, hvf]);
  });

  test("leaves nothing but itself behind", async () => {
    await prove();
    expect(readdirSync(join(folder.path, "assets"))).toEqual(["accelerators.json"]);
    expect(readdirSync(join(folder.path, "run"))).toEqual([]);
  });

  test("is found by one boot when many ask at once", async () => {
    const verdicts = await Promise.all([prove(), prove(), prove()]);
    expect(verdicts.map(({ works }) => works)).toEqual([true, true, true]);
    expect(hypervisor.boots).toHaveLength(1);
  });

  test("is found anew when it was forgotten, damaged, or is of another engine", async () => {
    await prove();
    await forgetAccelerators();
    expect(existsSync(cache)).toBe(false);
    await prove();
    for (const damage of ["", "{", "[]", '{"host": 1}', '{"host": "x", "verdicts": [{"accelerator": "xen"}]}']) {
      writeFileSync(cache, damage);
      await prove();
    }
    hypervisor.identity = "fake 2";
    await prove();
    await prove();
    expect(hypervisor.boots).toHaveLength(8);
  });

  test("is not kept when the boot was aborted", async () => {
    hypervisor.fates = ["silent"];
    const controller = new AbortController();
    const proving = proveAccelerator("kvm", assets, hypervisor, { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(proving).rejects.toThrow("enough");
    expect(existsSync(cache)).toBe(false);
    expect(hypervisor.workers[0]?.log).toEqual(["kill"]);
    expect(readdirSync(join(folder.path, "run"))).toEqual([]);
  });

  test("is told to who watches", async () => {
    const events: unknown[] = [];
    await proveAccelerator("kvm", assets, hypervisor, { onProgress: (event) => events.push(event) });
    const step = { phase: "accelerator", item: "trying kvm" };
    expect(events).toEqual([step, { ...step, finished: true }]);
  });
});

describe("KVM", () => {
  test.each([
    ["ENOENT", /not there: the kvm module is not loaded/],
    ["EACCES", /may not open it: add the user to the group kvm/],
  ])("whose device gives %s is refused without a boot", async (code, reason) => {
    machine.kvm = code;
    const verdict = await prove();
    expect(verdict.works).toBe(false);
    expect(verdict.reason).toMatch(reason);
    expect(await choose()).toBe("tcg");
    expect(hypervisor.boots).toEqual([]);
  });

  test("is tried once its device can be opened, and not used any more once it is gone", async () => {
    machine.kvm = "EACCES";
    expect(await choose()).toBe("tcg");
    machine.kvm = undefined;
    expect(await choose()).toBe("kvm");
    machine.kvm = "ENOENT";
    expect(await choose()).toBe("tcg");
    machine.kvm = undefined;
    expect(await choose()).toBe("kvm");
    expect(hypervisor.boots).toHaveLength(1);
  });

  test("that fails where the CPU shows no virtualisation has that as an explanation", async () => {
    machine.flags = "lm";
    hypervisor.fates = ["dies"];
    const nested = /the CPU shows neither vmx nor svm/;
    expect((await prove()).reason).toMatch(process.arch === "x64" ? nested : /QEMU ended/);
    await forgetAccelerators();
    machine.flags = "svm";
    expect((await prove()).reason).not.toMatch(nested);
  });
});
