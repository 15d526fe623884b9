import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Image, type Vm } from "../src/index.js";
import { busyboxImage } from "../test/support/images.js";
import { benchmark } from "./support/benchmark.js";

const MEBIBYTES = Number(process.env.SUPERMACHINE_BENCH_COPY_MIB ?? 1024);
const [FOLDERS, FILES] = [100, 100];
const PLACE = "/volume/copy";

await main();

/** What files cost on their way into a guest and out of it, beside a tar archive on a command's standard input and output. */
async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-bench-"));
  try {
    makeFiles(folder);
    const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { memoryMiB: 512 });
    // A disk, since the guest's memory has no room for what is copied.
    const volume = { file: join(folder, "volume.img"), guest: "/volume", sizeMiB: MEBIBYTES * 2 + 1024 };
    await using vm = await image.start({ volumes: [volume] });
    await compare(vm, folder, "large", `one file of ${MEBIBYTES} MiB`, MEBIBYTES * 2 ** 20);
    await compare(vm, folder, "small", `${FOLDERS * FILES} files of 0.2 to 4 KB`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function compare(vm: Vm, folder: string, name: string, what: string, bytes?: number): Promise<void> {
  const [source, back] = [join(folder, name), join(folder, "back")];
  const empty = async () => {
    rmSync(back, { recursive: true, force: true });
    await vm.run(["sh", "-c", `rm -rf ${PLACE}; mkdir ${PLACE}; sync`]);
  };
  const full = async () => {
    rmSync(back, { recursive: true, force: true });
    mkdirSync(back);
  };
  const size = bytes === undefined ? {} : { bytes };
  await benchmark({
    name: `copy-in-${name}`,
    title: `${what} into a volume of a guest, isolation ${vm.isolation}`,
    rival: "tar into exec's standard input",
    runs: 3,
    warmups: 0,
    cases: [
      { name: "tar into exec's standard input", ...size, before: empty, run: () => tarIn(vm, source) },
      { name: "copyIn", ...size, before: empty, run: async () => void (await vm.copyIn(`${source}/.`, PLACE)) },
    ],
  });
  await benchmark({
    name: `copy-out-${name}`,
    title: `${what} out of a volume of a guest, isolation ${vm.isolation}`,
    rival: "tar out of exec's standard output",
    runs: 3,
    warmups: 0,
    cases: [
      { name: "tar out of exec's standard output", ...size, before: full, run: () => tarOut(vm, back) },
      { name: "copyOut", ...size, before: full, run: async () => void (await vm.copyOut(`${PLACE}/.`, back)) },
    ],
  });
}

async function tarIn(vm: Vm, source: string): Promise<void> {
  const tar = spawn("tar", ["-C", source, "-c", "."], { stdio: ["ignore", "pipe", "inherit"] });
  const process = await vm.exec(["tar", "-C", PLACE, "-x"], { stdin: "pipe" });
  process.stdout.resume();
  process.stderr.resume();
  await pipeline(tar.stdout, process.stdin);
  await process.wait();
}

async function tarOut(vm: Vm, target: string): Promise<void> {
  const tar = spawn("tar", ["-C", target, "-x"], { stdio: ["pipe", "inherit", "inherit"] });
  const process = await vm.exec(["tar", "-C", PLACE, "-c", "."]);
  process.stderr.resume();
  const ended = new Promise((resolve) => tar.once("close", resolve));
  await pipeline(process.stdout, tar.stdin);
  await Promise.all([process.wait(), ended]);
}

function makeFiles(folder: string): void {
  mkdirSync(join(folder, "large"));
  execFileSync("sh", ["-c", `head -c ${MEBIBYTES}M /dev/urandom > "$0"`, join(folder, "large", "file")]);
  for (let i = 0; i < FOLDERS; i++) {
    mkdirSync(join(folder, "small", String(i)), { recursive: true });
    for (let j = 0; j < FILES; j++) {
      writeFileSync(
        join(folder, "small", String(i), String(j)),
        Buffer.alloc(200 + (((i * FILES + j) * 7919) % 3800), "x"),
      );
    }
  }
}
