import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { doctor, type Finding } from "../../src/doctor/index.js";
import { FakeSystem } from "../assets/fake-system.js";
import { temporaryFolder } from "../support/layer-fixture.js";

/** What the accelerators do, and how much space there is. */
const machine = vi.hoisted(() => ({ works: { kvm: true, tcg: true }, freeBytes: 2 ** 40, proved: [] as string[] }));
vi.mock("../../src/machine/index.js", async (original) => ({
  ...(await original<typeof import("../../src/machine/index.js")>()),
  candidates: () => ["kvm", "tcg"],
  proveAccelerator: async (accelerator: "kvm" | "tcg") => {
    machine.proved.push(accelerator);
    const works = machine.works[accelerator];
    return { accelerator, works, reason: works ? "a guest booted in 0.1 s" : "the guest hangs" };
  },
}));
vi.mock("node:fs/promises", async (original) => ({
  ...(await original<typeof import("node:fs/promises")>()),
  statfs: async () => ({ bavail: machine.freeBytes / 4096, bsize: 4096, blocks: 2 ** 40 }),
}));

let folder: ReturnType<typeof temporaryFolder>;
let system: FakeSystem;
beforeEach(() => {
  folder = temporaryFolder();
  system = new FakeSystem(folder.path);
  system.script("setpriv", "true");
  Object.assign(machine, { works: { kvm: true, tcg: true }, freeBytes: 2 ** 40, proved: [] });
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

const remove = (program: string) => rmSync(join(folder.path, "bin", program));
async function finding(subject: string): Promise<Finding | undefined> {
  return (await doctor()).findings.find((each) => each.subject === subject);
}

describe("a machine on which all is well", () => {
  test("has a finding of each subject, and says how guests are separated", async () => {
    const { findings, isolation } = await doctor();
    expect(findings.map(({ subject, status }) => `${subject} ${status}`)).toEqual([
      "node ok",
      "system ok",
      "home ok",
      "qemu ok",
      ...(process.platform === "linux" ? ["setpriv ok"] : []),
      "kernel ok",
      "accelerator kvm ok",
      "accelerator tcg ok",
    ]);
    expect(isolation).toBe("hardware (kvm)");
    expect(findings.every(({ advice }) => advice === undefined)).toBe(true);
  });

  test("is asked anew each time", async () => {
    await doctor();
    mkdirSync(join(system.home, "assets"), { recursive: true });
    writeFileSync(join(system.home, "assets/accelerators.json"), "old verdicts");
    await doctor();
    expect(machine.proved).toEqual(["kvm", "tcg", "kvm", "tcg"]);
  });
});

describe("what works, but not as well as it could", () => {
  test("without KVM guests are emulated", async () => {
    machine.works.kvm = false;
    const { findings, isolation } = await doctor();
    expect(isolation).toBe("emulated (tcg)");
    const kvm = findings.find(({ subject }) => subject === "accelerator kvm");
    expect(kvm).toMatchObject({ status: "warning", detail: "the guest hangs", advice: /slower/ });
  });

  test("little space is left", async () => {
    machine.freeBytes = 2 ** 30;
    expect(await finding("home")).toMatchObject({
      status: "warning",
      detail: /1 GiB free/,
      advice: /SUPERMACHINE_HOME/,
    });
  });
});

describe("what keeps guests from running", () => {
  test("there is no QEMU, and how to get it is said; nothing else is tried", async () => {
    remove(system.qemu.slice(system.qemu.lastIndexOf("/") + 1));
    const { findings, isolation } = await doctor();
    expect(isolation).toBeUndefined();
    expect(findings.find(({ subject }) => subject === "qemu")).toMatchObject({
      status: "problem",
      detail: /there is no qemu-system-/,
      advice: /[Ii]nstall/,
    });
    expect(machine.proved).toEqual([]);
  });

  test("QEMU is too old, or does not answer", async () => {
    const name = system.qemu.slice(system.qemu.lastIndexOf("/") + 1);
    system.script(name, 'echo "QEMU emulator version 5.2.0"');
    expect(await finding("qemu")).toMatchObject({ status: "problem", detail: /older than 7.2/ });
    system.script(name, "exit 3");
    expect(await finding("qemu")).toMatchObject({ status: "problem", detail: /does not tell its version/ });
  });

  test.runIf(process.platform === "linux")("there is no setpriv", async () => {
    remove("setpriv");
    expect(await finding("setpriv")).toMatchObject({ status: "problem", advice: "Install util-linux." });
    expect((await doctor()).isolation).toBeUndefined();
  });

  test("the home cannot be written", async () => {
    writeFileSync(system.home, "a file");
    const found = await finding("home");
    expect(found).toMatchObject({ status: "problem", detail: /cannot be written/, advice: /Set SUPERMACHINE_HOME/ });
  });

  test("the agent cannot be compiled", async () => {
    system.script("cc", "exit 1");
    const { findings, isolation } = await doctor();
    expect(findings.at(-1)).toMatchObject({ subject: "kernel", status: "problem", detail: /could not compile/ });
    expect(isolation).toBeUndefined();
  });

  test("no accelerator works", async () => {
    machine.works = { kvm: false, tcg: false };
    const { findings, isolation } = await doctor();
    expect(isolation).toBeUndefined();
    expect(findings.at(-1)).toMatchObject({ subject: "accelerator tcg", status: "problem", detail: "the guest hangs" });
  });

  test("an abort is passed on", async () => {
    system.script("cc", "exec /bin/sleep 10");
    const signal = AbortSignal.timeout(100);
    await expect(doctor({ signal })).rejects.toThrow();
  });
});
