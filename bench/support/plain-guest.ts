import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type CpioEntry, cpio } from "../../src/assets/cpio.js";
import { cpuModel } from "../../src/engine/qemu/arguments.js";

const FOLDER = 0o040755;
const BOOT_TIMEOUT_MS = 120_000;
const COMMAND_TIMEOUT_MS = 300_000;
/** What the guest says after each command; no command's output has it. */
const DONE = "@@done@@";

export interface PlainGuestOptions {
  /** Debian's package with the kernel, or one that depends on it. */
  kernelPackage: string;
  /** Modules that are loaded; those they depend on are, too. */
  modules: string[];
  memoryMiB: number;
  /** QEMU's arguments for the device that matters. */
  device: string[];
  /** Further files of the initramfs. */
  files?: CpioEntry[];
  /** Shell commands that get the device ready. */
  setUp: string[];
}

/** A rival: a plain QEMU whose guest is busybox in an initramfs, and takes commands on its serial port. */
export class PlainGuest implements AsyncDisposable {
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

  static async start(options: PlainGuestOptions): Promise<PlainGuest> {
    const scratch = mkdtempSync(join(tmpdir(), "supermachine-plain-"));
    const { kernel, modules } = obtainKernel(scratch, options);
    const initramfs = join(scratch, "initramfs.cpio");
    writeFileSync(initramfs, makeInitramfs(modules, options));
    const child = spawn("qemu-system-x86_64", [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-M", "q35", "-serial", "stdio"],
      ...["-accel", "tcg,thread=multi", "-cpu", cpuModel("x64", "tcg"), "-m", String(options.memoryMiB)],
      ...["-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet mitigations=off init_on_alloc=0"],
      ...options.device,
    ]);
    const rival = new PlainGuest(child, scratch);
    await rival.#untilDone(BOOT_TIMEOUT_MS);
    return rival;
  }

  /** Runs a line of shell; gives what it writes. */
  async run(line: string): Promise<string> {
    this.#console = "";
    this.#child.stdin.write(`${line}\n`);
    return this.#untilDone(COMMAND_TIMEOUT_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  async #untilDone(timeoutMs: number): Promise<string> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
      const at = this.#console.indexOf(DONE);
      if (at >= 0) return this.#console.slice(0, at).replaceAll("\r", "");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`the rival did not come to an end:\n${this.#console.slice(-2000)}`);
  }
}

function obtainKernel(
  scratch: string,
  { kernelPackage, modules }: PlainGuestOptions,
): { kernel: string; modules: string[] } {
  const about = execFileSync("apt-cache", ["depends", kernelPackage], { encoding: "utf8" });
  const name = /Depends: (linux-image-\S+)/.exec(about)?.[1] ?? kernelPackage;
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
  for (const module of modules) add(module);
  return { kernel, modules: ordered };
}

function makeInitramfs(modules: string[], { files = [], setUp }: PlainGuestOptions): Buffer {
  const busybox = execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim();
  const init = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
${modules.map((path) => `insmod /modules/${basename(path)}`).join("\n")}
${setUp.join("\n")}
echo ${DONE}
while read -r line; do
  sh -c "$line"
  echo ${DONE}
done
`;
  const entries: CpioEntry[] = [
    { path: "bin", mode: FOLDER },
    { path: "bin/busybox", mode: 0o100755, content: readFileSync(busybox) },
    { path: "init", mode: 0o100755, content: Buffer.from(init) },
    { path: "modules", mode: FOLDER },
    ...modules.map((path) => ({ path: `modules/${basename(path)}`, mode: 0o100644, content: readFileSync(path) })),
    ...files,
  ];
  return cpio(entries);
}
