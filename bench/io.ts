import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image, type Vm } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";
import { Plain9p } from "./support/plain-9p.js";

const FOLDERS = Number(process.env.SUPERMACHINE_BENCH_IO_FOLDERS ?? 100);
const [FILES, MEMORY_MIB] = [100, 512];
const READ_ALL = "for each in *; do cat $each/*; done | wc -c";
const CLOCK = "read -r at rest < /proc/uptime; echo $at";

await main();

/** What a guest's way to the host's files costs. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    makeFiles(folder);
    const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { memoryMiB: MEMORY_MIB });
    await using vm = await image.start({ mounts: [{ host: folder, guest: "/share", readOnly: true }] });
    await using rival = await Plain9p.start(folder, MEMORY_MIB);
    const rivalName = "plain QEMU, 9p (-virtfs)";
    await benchmark({
      name: "io",
      title: `${FOLDERS * FILES} files of 0.2 to 4 KB read from a folder of the host, caches empty, isolation ${vm.isolation}`,
      rival: rivalName,
      runs: 3,
      // Caches are empty each time.
      warmups: 0,
      cases: [
        { name: "mounted folder (FUSE)", run: () => readAll(vm) },
        { name: rivalName, run: () => rival.run(READ_ALL) },
      ],
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** By the guest's own clock, as for the rival. */
async function readAll(vm: Vm): Promise<number> {
  const script = `echo 3 > /proc/sys/vm/drop_caches; ${CLOCK}; ${READ_ALL}; ${CLOCK}`;
  const { stdout } = await vm.run(["sh", "-c", script], { cwd: "/share" });
  const [from, , to] = stdout.split("\n");
  return (Number(to) - Number(from)) * 1000;
}

function makeFiles(folder: string): void {
  for (let i = 0; i < FOLDERS; i++) {
    mkdirSync(join(folder, String(i)));
    for (let j = 0; j < FILES; j++) {
      writeFileSync(join(folder, String(i), String(j)), Buffer.alloc(200 + (((i * FILES + j) * 7919) % 3800), "x"));
    }
  }
}
