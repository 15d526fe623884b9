import type { Accelerator, Architecture, BootSource, Disk, DiskBase, Hardware, RamFile } from "../hypervisor.js";

/**
 * Raised whenever the devices or the kernel's command line below change: a device state only fits the very same machine, so
 * this is part of every template's key.
 */
export const DEVICE_MODEL = 8;

/** File descriptors the worker inherits. Sockets without a name need no path, no clean-up and no retry to connect. */
export const INHERITED = { qmp: 3, control: 4, bulk: 5, deviceState: 6 } as const;

/**
 * What an emulated guest's kernel leaves out, for there every instruction of it counts. An emulated processor does not speculate, so
 * there is nothing to mitigate, and pages that are about to be written anyway need not be cleared. AppArmor and TOMOYO have no policy in
 * a guest, but are asked at every turn; so are the statistics of pressure (PSI). Without "rep good" the kernel clears and copies pages
 * by unrolled code, 64 turns of a loop, not by a string instruction, which is 512. Of a file that is touched it maps 16 KiB around, not 64: most of the
 * 331 pages that this was for one `true` were never used. These three, with a look for the program before it is executed, took
 * a warm `true` from 945,000 to 640,000 instructions, and from 240,000 to 142,000 executed blocks. The time stamp counter is QEMU's, and
 * right: nobody has to compare it with another clock twice a second, nor to watch for a kernel that hangs.
 */
const EMULATED = [
  "mitigations=off",
  "init_on_alloc=0",
  "lsm=landlock",
  "psi=0",
  "clearcpuid=rep_good",
  "fault_around_bytes=16384",
  "tsc=reliable",
  "nowatchdog",
];

/**
 * As many ports as there are, the first of which Linux keeps for a console, and an interrupt for each of their queues: with the default of 31
 * the guest looks at 64 queues at each interrupt, and QEMU polls as many descriptors.
 */
const SERIAL = "virtio-serial-pci,max_ports=3,vectors=9";

/** Port names as the agent sees them in /sys/class/virtio-ports. */
const PORTS = { control: "supermachine.control", bulk: "supermachine.bulk" } as const;

const BINARIES: Record<Architecture, string> = { x64: "qemu-system-x86_64", arm64: "qemu-system-aarch64" };

/** The name of QEMU's system emulator for `architecture`. */
export function qemuBinary(architecture: Architecture): string {
  return BINARIES[architecture];
}

/**
 * The CPU a guest sees. Under emulation without what only slows it down: 5-level page tables cost a level on every miss, and
 * SMAP and protection keys end a translated block at every copy from user memory. With "enhanced rep movsb" the kernel copies and
 * clears byte by byte, each of which is a turn of a loop here; without it, eight at a time: 64 MiB out of a guest by TCP took its
 * processor 630 ms with it and 290 without.
 */
export function cpuModel(architecture: Architecture, accelerator: Accelerator): string {
  if (accelerator !== "tcg") return "host";
  return architecture === "x64" ? "max,la57=off,smap=off,pku=off,erms=off" : "max";
}

/** Arguments that boot a kernel into shared RAM: the first half of making a template. */
export function bootArguments(hardware: Hardware, ram: RamFile, source: BootSource): string[] {
  const console = hardware.architecture === "x64" ? "ttyS0" : "ttyAMA0";
  const messages = source.verbose ? ["earlyprintk=serial", "earlycon"] : ["quiet"];
  const commandLine = [`console=${console}`, ...messages, "panic=-1", "reboot=t", "random.trust_cpu=on"];
  if (hardware.accelerator === "tcg") commandLine.push(...EMULATED);
  return [
    ...machineArguments(hardware, ram),
    ...["-kernel", source.kernel, "-initrd", source.initramfs, "-append", commandLine.join(" ")],
  ];
}

/** Arguments of a worker that waits for a device state on an inherited socket. */
export function incomingArguments(hardware: Hardware, ram: RamFile, disks: readonly Disk[]): string[] {
  return [
    ...machineArguments(hardware, ram),
    ...disks.flatMap((disk) => [
      ...["-blockdev", JSON.stringify(blockNode(disk))],
      ...["-device", JSON.stringify(scsiDevice(disk))],
    ]),
    ...["-incoming", `fd:${INHERITED.deviceState}`],
    ...["-global", "migration.send-configuration=off"],
  ];
}

/** A layer's file: read-only and without locks, since any number of workers share it. Or a volume's, or a guest's own. */
export function blockNode(disk: Disk): Record<string, unknown> {
  if (disk.base) return ownNode(disk, disk.base);
  if (disk.volume) return volumeNode(disk);
  const file = { driver: "file", filename: disk.path, locking: "off", "read-only": true };
  return { driver: "raw", "node-name": `layer${disk.lun}`, "read-only": true, file };
}

/** What the guest discards or fills with zeros becomes a hole in the file; what it flushes is flushed to the host's disk. */
function volumeNode({ lun, path, volume }: Disk): Record<string, unknown> {
  const readOnly = volume === "read-only";
  const file = { driver: "file", filename: path, locking: "on", "read-only": readOnly };
  const holes = readOnly ? {} : { discard: "unmap", "detect-zeroes": "unmap" };
  const fileHoles = readOnly ? {} : { discard: "unmap" };
  return {
    driver: "raw",
    "node-name": `layer${lun}`,
    "read-only": readOnly,
    ...holes,
    file: { ...file, ...fileHoles },
  };
}

/** A guest's own disk: what it writes is in one file, what it has not written is read from another one, which others may read too. */
function ownNode({ lun, path }: Disk, { path: basePath, format }: DiskBase): Record<string, unknown> {
  const base = { driver: "file", filename: basePath, locking: "off", "read-only": true };
  const backing = { "read-only": true, file: base };
  return {
    ...imageNode(`layer${lun}`, path),
    backing: format === "raw" ? { driver: "raw", ...backing } : { driver: "qcow2", ...backing, backing: null },
  };
}

/** A writable image that nobody needs after a crash of this host: what the guest flushes is not flushed. */
export function imageNode(name: string, path: string): Record<string, unknown> {
  const cache = { "no-flush": true };
  return {
    driver: "qcow2",
    "node-name": name,
    discard: "unmap",
    "detect-zeroes": "unmap",
    cache,
    file: { driver: "file", filename: path, locking: "on", discard: "unmap", cache },
    backing: null,
  };
}

/**
 * The SCSI disk that shows a {@link blockNode} to the guest: its number is target and LUN in one. Linux would see a LUN above 255 that is
 * plugged in as two disks, of which one stays when it is unplugged.
 */
export function scsiDevice(disk: Disk): Record<string, unknown> {
  // A full disk of this host is an error for the guest, which otherwise would stand still.
  const errors = disk.base || disk.volume === "writable" ? { werror: "report", rerror: "report" } : {};
  return {
    ...errors,
    driver: "scsi-hd",
    id: `disk${disk.lun}`,
    drive: `layer${disk.lun}`,
    bus: "scsi.0",
    "scsi-id": disk.lun >> 8,
    lun: disk.lun & 0xff,
  };
}

function machineArguments(hardware: Hardware, ram: RamFile): string[] {
  const size = `${hardware.memoryMiB}M`;
  const backend = { "qom-type": "memory-backend-file", id: "ram", "mem-path": ram.path, share: ram.shared };
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-accel", hardware.accelerator === "tcg" ? "tcg,thread=multi" : hardware.accelerator],
    ...["-cpu", cpuModel(hardware.architecture, hardware.accelerator)],
    ...["-smp", String(hardware.vcpus), "-m", size],
    ...["-object", JSON.stringify({ ...backend, size: hardware.memoryMiB * 2 ** 20 })],
    ...["-M", machineType(hardware.architecture)],
    ...["-device", "virtio-scsi-pci,id=scsi", "-device", SERIAL],
    ...socketDevice("qmp", INHERITED.qmp, ["-mon", "chardev=qmp,mode=control"]),
    ...socketDevice("control", INHERITED.control, ["-device", `virtserialport,chardev=control,name=${PORTS.control}`]),
    ...socketDevice("bulk", INHERITED.bulk, ["-device", `virtserialport,chardev=bulk,name=${PORTS.bulk}`]),
    // The console goes to our end of a pipe, which keeps its last lines: no file that a hostile guest could fill.
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
  ];
}

function machineType(architecture: Architecture): string {
  const common = "memory-backend=ram,usb=off,suppress-vmdesc=on";
  // What a guest never uses is not there to be attacked, and need not be started, saved or loaded.
  const unused = "sata=off,smbus=off,i8042=off,vmport=off,hpet=off";
  return architecture === "x64" ? `q35,${unused},${common}` : `virt,gic-version=max,${common}`;
}

function socketDevice(id: string, descriptor: number, device: string[]): string[] {
  return ["-chardev", `socket,id=${id},fd=${descriptor}`, ...device];
}
