import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type CpioEntry, cpio } from "../../src/assets/cpio.js";

const FOLDER = 0o040755;
const MODULES = ["virtio_pci", "9pnet_virtio", "9p"];
const BOOT_TIMEOUT_MS = 120_000;
const ROUND_TIMEOUT_MS = 300_000;

/**
 * A plain QEMU with a folder shared by `-virtfs` (9p, the ordinary options), for comparison. The cloud kernel of our guests has no
 * 9p, so this one runs Debian's ordinary kernel of the same version; all else is alike.
 */
export class Plain9p implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #scratch: string;
  #console = "";

  private constructor(child: ChildProcessWithoutNullStreams, scratch: string) {
    this.#child = child;
    this.#scratch = scratch;
    child.stdout.on("data", (chunk: Buffer) => {
      this.#console += chunk.toString("latin1");
    });
    child.stderr.pipe(process.stderr);
  }

  static async start(folder: string, memoryMiB: number): Promise<Plain9p> {
    const scratch = mkdtempSync(join(tmpdir(), "supermachine-9p-"));
    const { kernel, modules } = obtainKernel(scratch);
    const initramfs = join(scratch, "initramfs.cpio");
    writeFileSync(initramfs, makeInitramfs(modules));
    const share = `local,path=${folder},mount_tag=share,security_model=none,readonly=on`;
    const child = spawn("qemu-system-x86_64", [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", "q35", "-serial", "stdio"],
      ...["-accel", "tcg,thread=multi", "-cpu", "max,la57=off,smap=off,pku=off,erms=off", "-m", String(memoryMiB)],
      ...["-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet mitigations=off init_on_alloc=0"],
      ...["-virtfs", share],
    ]);
    const rival = new Plain9p(child, scratch);
    await rival.#until(/READY\r?\n/, BOOT_TIMEOUT_MS);
    return rival;
  }

  /** Runs a script in the shared folder, with empty caches; gives how long it took by the guest's clock, in ms. */
  async run(script: string): Promise<number> {
    this.#console = "";
    this.#child.stdin.write(`${script}\n`);
    const [, from, to] = await this.#until(/TOOK ([\d.]+) ([\d.]+)\r?\n/, ROUND_TIMEOUT_MS);
    return (Number(to) - Number(from)) * 1000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  async #until(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
      const match = pattern.exec(this.#console);
      if (match) return match;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`the rival did not say ${pattern}:\n${this.#console.slice(-2000)}`);
  }
}

function obtainKernel(scratch: string): { kernel: string; modules: string[] } {
  const about = execFileSync("apt-cache", ["depends", "linux-image-amd64"], { encoding: "utf8" });
  const name = /Depends: (linux-image-\S+)/.exec(about)?.[1];
  if (!name) throw new Error("apt knows no kernel: run apt-get update");
  execFileSync("apt-get", ["download", name], { cwd: scratch, stdio: "ignore" });
  const [deb] = readdirSync(scratch).filter((each) => each.endsWith(".deb"));
  execFileSync("dpkg-deb", ["-x", join(scratch, deb!), scratch]);
  const [image] = readdirSync(join(scratch, "boot")).filter((each) => each.startsWith("vmlinuz"));
  const kernel = join(scratch, "vmlinuz");
  copyFileSync(join(scratch, "boot", image!), kernel);
  const files = new Map<string, string>();
  for (const path of readdirSync(join(scratch, "lib"), { recursive: true }) as string[]) {
    if (path.endsWith(".ko")) files.set(basename(path, ".ko").replaceAll("-", "_"), join(scratch, "lib", path));
  }
  const ordered: string[] = [];
  const add = (module: string): void => {
    const path = files.get(module);
    // What is no file is built in.
    if (path === undefined || ordered.includes(path)) return;
    const depends = /\0depends=([^\0]*)\0/.exec(readFileSync(path, "latin1"))?.[1] ?? "";
    for (const each of depends.split(",").filter(Boolean)) add(each.replaceAll("-", "_"));
    ordered.push(path);
  };
  for (const module of MODULES) add(module);
  return { kernel, modules: ordered };
}

function makeInitramfs(modules: string[]): Buffer {
  const busybox = execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim();
  const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /share
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
${modules.map((path) => `insmod /modules/${basename(path)}`).join("\n")}
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072,ro share /share || echo no share
cd /share
echo READY
while read -r line; do
  echo 3 > /proc/sys/vm/drop_caches
  read -r from rest < /proc/uptime
  sh -c "$line"
  read -r to rest < /proc/uptime
  echo TOOK $from $to
done
`;
  const entries: CpioEntry[] = [
    { path: "bin", mode: FOLDER },
    { path: "bin/busybox", mode: 0o100755, content: readFileSync(busybox) },
    { path: "init", mode: 0o100755, content: Buffer.from(init) },
    { path: "modules", mode: FOLDER },
    ...modules.map((path) => ({ path: `modules/${basename(path)}`, mode: 0o100644, content: readFileSync(path) })),
  ];
  return cpio(entries);
}
