import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { containerConfig } from "./container-config.js";

/** A rival: the same busybox as an ordinary container of runc (Debian packages runc and busybox-static). */
export class RuncContainer implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "supermachine-runc-"));
  readonly #id = `supermachine-bench-${process.pid}`;
  #runs = 0;

  constructor() {
    const bin = join(this.#folder, "rootfs", "bin");
    for (const name of ["bin", "proc", "dev", "sys"])
      mkdirSync(join(this.#folder, "rootfs", name), { recursive: true });
    cpSync("/bin/busybox", join(bin, "busybox"));
    for (const name of ["true", "sleep", "dd", "cat"]) symlinkSync("busybox", join(bin, name));
  }

  /** Creates a container, runs `true` in it, and removes it. */
  async runOnce(): Promise<void> {
    this.#configure(["true"]);
    await execa("runc", ["run", "--bundle", this.#folder, `${this.#id}-${this.#runs++}`], { stdin: "ignore" });
  }

  /** Starts the container that {@link exec} runs commands in. */
  async start(): Promise<void> {
    this.#configure(["sleep", "1000000"]);
    // runc keeps its creator's pipes open for as long as the container lives.
    await execa("runc", ["run", "--detach", "--bundle", this.#folder, this.#id], { stdio: "ignore" });
  }

  async exec(argv: readonly string[]): Promise<void> {
    await execa("runc", ["exec", this.#id, ...argv], { stdin: "ignore", stdout: "ignore" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await execa("runc", ["delete", "--force", this.#id], { reject: false });
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #configure(args: string[]): void {
    writeFileSync(join(this.#folder, "config.json"), JSON.stringify(containerConfig(args)));
  }
}
