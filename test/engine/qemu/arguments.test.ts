import { describe, expect, test } from "vitest";
import type { Accelerator, Disk, Hardware } from "../../../src/engine/index.js";
import {
  blockNode,
  bootArguments,
  cpuModel,
  INHERITED,
  incomingArguments,
  qemuBinary,
  scsiDevice,
} from "../../../src/engine/qemu/arguments.js";

const hardware: Hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 2 };
const ram = { path: "/templates/a,b=c/ram.img", shared: false };
const source = { kernel: "/assets/vmlinuz", initramfs: "/assets/initramfs.cpio" };
const disks: Disk[] = [
  { lun: 1, path: "/layers/one,two=three.erofs" },
  { lun: 2, path: "/layers/four.erofs" },
];

/** Values that follow an option, in order. */
function values(args: readonly string[], option: string): string[] {
  return args.filter((_, index) => args[index - 1] === option);
}
const value = (args: readonly string[], option: string) => {
  const [only, ...more] = values(args, option);
  expect(more).toEqual([]);
  return only;
};

const booting = bootArguments(hardware, { ...ram, shared: true }, source);
const waiting = incomingArguments(hardware, ram, disks);

describe.each([
  ["booting", booting],
  ["waiting", waiting],
])("a worker that is %s", (_, args) => {
  test("is confined, and has no device but those that we name", () => {
    expect(value(args, "-sandbox")).toBe("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    for (const flag of ["-nodefaults", "-no-user-config", "-no-reboot"]) expect(args).toContain(flag);
    expect(value(args, "-display")).toBe("none");
    expect(args.join(" ")).not.toMatch(/-net|virtio-net|-daemonize|-pidfile|server=on|path=\/|telnet|tcp:/);
  });

  test("has no balloon: QEMU would give pages back by punching holes into the template that all workers share", () => {
    expect(args.join(" ")).not.toMatch(/balloon|page-reporting|virtio-mem|discard-data/);
  });

  test("has the processors and memory of its shape", () => {
    expect(value(args, "-smp")).toBe("2");
    expect(value(args, "-m")).toBe("256M");
    expect(JSON.parse(value(args, "-object") ?? "")).toMatchObject({
      "qom-type": "memory-backend-file",
      id: "ram",
      size: 268_435_456,
      "mem-path": ram.path,
    });
    expect(value(args, "-M")).toMatch(/^q35,.*memory-backend=ram\b.*suppress-vmdesc=on/);
  });

  test("has its control connection and the agent's two ports on inherited sockets", () => {
    const chardevs = values(args, "-chardev");
    for (const id of ["qmp", "control", "bulk"] as const) {
      expect(chardevs).toContain(`socket,id=${id},fd=${INHERITED[id]}`);
    }
    expect(value(args, "-mon")).toBe("chardev=qmp,mode=control");
    expect(values(args, "-device").filter((each) => each.startsWith("virtserialport"))).toEqual([
      "virtserialport,chardev=control,name=supermachine.control",
      "virtserialport,chardev=bulk,name=supermachine.bulk",
    ]);
  });
});

test("the same devices are there in the same order when it boots and when it waits: a state fits no others", () => {
  const [bare, shared] = [incomingArguments(hardware, ram, []), bootArguments(hardware, ram, source)];
  expect(values(bare, "-device")).toEqual(values(shared, "-device"));
  for (const option of ["-M", "-cpu", "-smp", "-m", "-object", "-accel"]) {
    expect(value(bare, option)).toBe(value(shared, option));
  }
});

test("RAM is shared with its file or private, as asked", () => {
  expect(JSON.parse(value(booting, "-object") ?? "")).toMatchObject({ share: true });
  expect(JSON.parse(value(waiting, "-object") ?? "")).toMatchObject({ share: false });
});

describe("booting", () => {
  test("takes kernel and initramfs, and shows what the kernel says where that is asked for", () => {
    expect(value(booting, "-kernel")).toBe(source.kernel);
    expect(value(booting, "-initrd")).toBe(source.initramfs);
    expect(value(booting, "-append")?.split(" ")).toEqual(
      expect.arrayContaining(["console=ttyS0", "quiet", "panic=-1"]),
    );
    const verbose = value(bootArguments(hardware, ram, { ...source, verbose: true }), "-append")?.split(" ");
    expect(verbose).toContain("earlyprintk=serial");
    expect(verbose).not.toContain("quiet");
    expect(booting).not.toContain("-incoming");
  });

  test("uses the console of the architecture", () => {
    const arm = bootArguments({ ...hardware, architecture: "arm64" }, ram, source);
    expect(value(arm, "-append")).toContain("console=ttyAMA0");
    expect(value(arm, "-M")).toMatch(/^virt,/);
  });
});

describe("waiting", () => {
  test("takes the device state from an inherited socket, and no kernel", () => {
    expect(value(waiting, "-incoming")).toBe(`fd:${INHERITED.deviceState}`);
    expect(value(waiting, "-global")).toBe("migration.send-configuration=off");
    for (const option of ["-kernel", "-initrd", "-append"]) expect(waiting).not.toContain(option);
  });

  test("has each disk read-only and without locks, whatever its path holds", () => {
    const nodes = values(waiting, "-blockdev").map((each) => JSON.parse(each));
    expect(nodes).toEqual(disks.map(blockNode));
    expect(nodes[0]).toEqual({
      driver: "raw",
      "node-name": "layer1",
      "read-only": true,
      file: { driver: "file", filename: "/layers/one,two=three.erofs", locking: "off", "read-only": true },
    });
    const devices = values(waiting, "-device").filter((each) => each.startsWith("{"));
    expect(devices.map((each) => JSON.parse(each))).toEqual(disks.map(scsiDevice));
  });
});

test("a disk is LUN n of target 0, and names its block node", () => {
  const disk = { lun: 250, path: "/x" };
  expect(scsiDevice(disk)).toMatchObject({ driver: "scsi-hd", bus: "scsi.0", "scsi-id": 0, lun: 250 });
  expect(scsiDevice({ ...disk, lun: 0x1234 })).toMatchObject({ id: "disk4660", "scsi-id": 0x12, lun: 0x34 });
  expect(scsiDevice(disk).drive).toBe(blockNode(disk)["node-name"]);
});

test.each<[Accelerator, string, string]>([
  ["tcg", "tcg,thread=multi", "max,la57=off,smap=off,pku=off,erms=off"],
  ["kvm", "kvm", "host"],
  ["hvf", "hvf", "host"],
  ["whpx", "whpx", "host"],
])("with %s the accelerator is %s and the CPU %s", (accelerator, accel, cpu) => {
  const args = incomingArguments({ ...hardware, accelerator }, ram, []);
  expect([value(args, "-accel"), value(args, "-cpu")]).toEqual([accel, cpu]);
});

test("an emulated arm64 has no option that only x64 knows", () => {
  expect(cpuModel("arm64", "tcg")).toBe("max");
});

test("the emulator is named as its packages name it", () => {
  expect([qemuBinary("x64"), qemuBinary("arm64")]).toEqual(["qemu-system-x86_64", "qemu-system-aarch64"]);
});

test("a guest's own disk only holds what it writes, is never flushed, and is as large as it is allowed to be", () => {
  const own: Disk = { lun: 511, path: "/run/1.disk", base: { path: "/snapshot/root.disk", format: "image" } };
  expect(blockNode(own)).toMatchObject({
    driver: "qcow2",
    "node-name": "layer511",
    cache: { "no-flush": true },
    file: { driver: "file", filename: "/run/1.disk", locking: "on" },
    backing: {
      driver: "qcow2",
      "read-only": true,
      file: { filename: "/snapshot/root.disk", "read-only": true },
      // Whatever the image says, it is based on nothing else.
      backing: null,
    },
  });
  const fresh = blockNode({ ...own, base: { path: "/run/2.disk", format: "raw" } });
  expect(fresh.backing).toEqual({
    driver: "raw",
    "read-only": true,
    file: expect.objectContaining({ filename: "/run/2.disk" }),
  });
});

test("a full disk of the host is an error for whoever writes, not a guest that stands still", () => {
  const own: Disk = { lun: 511, path: "/run/1.disk", base: { path: "/b", format: "raw" } };
  for (const disk of [own, { lun: 512, path: "/v.img", volume: "writable" as const }])
    expect(scsiDevice(disk)).toMatchObject({ werror: "report", rerror: "report" });
});
