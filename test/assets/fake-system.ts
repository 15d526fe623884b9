import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { vi } from "vitest";
import { qemuBinary } from "../../src/engine/index.js";
import { buildDeb } from "./deb-builder.js";
import { KERNEL_MODULES, moduleFile } from "./kernel-fixture.js";

const DEBIAN = process.arch === "arm64" ? "arm64" : "amd64";
const QEMU = qemuBinary(process.arch === "arm64" ? "arm64" : "x64");
/** What the package's own scripts and ours call of the real system. */
const REAL_TOOLS = ["tar", "xz", "zstd", "cp", "cat"];

/** Packing takes longer than what is tested. */
let kernelDeb: Buffer | undefined;

/** The name of a kernel's package. */
export const kernelPackage = (version: string) => `linux-image-${version}-cloud-${DEBIAN}`;

/** A PATH of scripts that stand for QEMU, apt and the compiler: nothing is installed or downloaded. Each call is in `log()`. */
export class FakeSystem {
  readonly home: string;
  readonly qemu: string;
  readonly #bin: string;
  readonly #log: string;

  constructor(folder: string) {
    this.#bin = join(folder, "bin");
    this.home = join(folder, "home");
    this.#log = join(folder, "log");
    this.qemu = join(this.#bin, QEMU);
    mkdirSync(this.#bin);
    for (const tool of REAL_TOOLS) {
      const real = (process.env.PATH ?? "")
        .split(delimiter)
        .map((each) => join(each, tool))
        .find(existsSync);
      if (real) symlinkSync(real, join(this.#bin, tool));
    }
    kernelDeb ??= buildDeb(kernelFiles("6.1.0"));
    writeFileSync(join(folder, "kernel.deb"), kernelDeb);
    vi.stubEnv("PATH", this.#bin);
    vi.stubEnv("SUPERMACHINE_HOME", this.home);
    vi.stubEnv("SUPERMACHINE_QEMU", "");
    this.script(QEMU, 'echo "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"');
    this.script("apt-get", `[ "$1" = download ] && cp ${join(folder, "kernel.deb")} "./$2_1_all.deb"`);
    this.script("cc", 'while [ "$1" != -o ]; do shift; done; echo agent > "$2"');
    this.kernel("6.1.0-77");
  }

  /** The kernel that apt knows; none by default. */
  kernel(version?: string): void {
    const depends = `Package: linux-image-cloud\nDepends: ${kernelPackage(version ?? "")} (= 6.1.1)\nDescription: x`;
    this.script("apt-cache", version ? `echo "${depends}"` : "exit 100");
  }

  /** Puts a program on the PATH that tells of its calls. */
  script(name: string, body: string): void {
    const path = join(this.#bin, name);
    writeFileSync(path, `#!/bin/sh\necho "${name} $1 $2" >> ${this.#log}\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** The calls since this was last asked for. */
  log(): string[] {
    const lines = existsSync(this.#log) ? readFileSync(this.#log, "utf8").trim().split("\n") : [];
    writeFileSync(this.#log, "");
    return lines.filter(Boolean);
  }
}

function kernelFiles(version: string): Record<string, string | Buffer> {
  const modules = Object.entries(KERNEL_MODULES).map(([path, depends]) => [
    `lib/modules/${version}/${path}`,
    moduleFile(depends),
  ]);
  return {
    [`boot/vmlinuz-${version}`]: "the kernel",
    [`boot/config-${version}`]: "CONFIG_X=y",
    [`lib/modules/${version}/modules.builtin`]: "",
    ...Object.fromEntries(modules),
  };
}
