import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { configureBundle, unpackBundle } from "./container-bundle.js";

/** A rival: the file system of an OCI image as an ordinary container of runc (Debian packages runc and umoci). */
export class RuncContainer implements AsyncDisposable {
  readonly #folder: string;
  readonly #bundle: string;
  readonly #id = `supermachine-bench-${process.pid}`;
  #runs = 0;

  private constructor(folder: string, bundle: string) {
    this.#folder = folder;
    this.#bundle = bundle;
  }

  /** @param layout folder of an OCI layout that has the tag `latest` */
  static async open(layout: string): Promise<RuncContainer> {
    const folder = mkdtempSync(join(tmpdir(), "supermachine-runc-"));
    const bundle = join(folder, "bundle");
    await unpackBundle(layout, bundle, ["true"]);
    return new RuncContainer(folder, bundle);
  }

  /** Creates a container, runs `true` in it, and removes it. */
  async runOnce(): Promise<void> {
    configureBundle(this.#bundle, ["true"]);
    await execa("runc", ["run", "--bundle", this.#bundle, `${this.#id}-${this.#runs++}`], { stdin: "ignore" });
  }

  /** Starts the container that {@link exec} runs commands in. */
  async start(): Promise<void> {
    configureBundle(this.#bundle, ["sleep", "1000000"]);
    // runc keeps its creator's pipes open for as long as the container lives.
    await execa("runc", ["run", "--detach", "--bundle", this.#bundle, this.#id], { stdio: "ignore" });
  }

  async exec(argv: readonly string[]): Promise<void> {
    await execa("runc", ["exec", this.#id, ...argv], { stdin: "ignore", stdout: "ignore" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await execa("runc", ["delete", "--force", this.#id], { reject: false });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
