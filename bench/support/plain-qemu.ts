import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { bootArguments } from "../../src/engine/qemu/arguments.js";
import { launch } from "../../src/engine/qemu/launch.js";
import { Qmp } from "../../src/engine/qemu/qmp.js";
import { Agent } from "../../src/guest/index.js";
import type { Runtime } from "../../src/machine/index.js";

/**
 * A rival: the same kernel and agent in QEMU as its manual would have it, with anonymous memory, saved and restored by `migrate`
 * to and from a file.
 */
export class PlainQemu implements AsyncDisposable {
  readonly #child: ReturnType<typeof launch>;
  readonly #qmp: Qmp;

  private constructor(runtime: Runtime, memoryMiB: number, extra: readonly string[]) {
    this.#child = launch([runtime.assets.qemu.path, ...plainArguments(runtime, memoryMiB), ...extra]);
    this.#qmp = new Qmp(this.#child.stdio[3] as Duplex);
    for (const stream of this.#child.stdio.slice(3)) stream?.on("error", () => undefined);
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.resume();
  }

  /** Boots, and waits for the agent's answer. */
  static async boot(runtime: Runtime, memoryMiB: number): Promise<PlainQemu> {
    const guest = new PlainQemu(runtime, memoryMiB, []);
    await guest.#qmp.execute("qmp_capabilities");
    await guest.#connect();
    // By default a migration is kept below 128 MiB/s, as if a network were in between.
    await guest.#qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
    return guest;
  }

  /** Restores what {@link save} wrote, and waits for the agent's answer. */
  static async restore(runtime: Runtime, memoryMiB: number, file: string): Promise<PlainQemu> {
    const guest = new PlainQemu(runtime, memoryMiB, ["-incoming", `exec:cat ${file}`]);
    await guest.#qmp.execute("qmp_capabilities");
    await guest.#until("query-status", ({ status }) => status !== "inmigrate");
    // It was stopped when it was saved, and is so now.
    await guest.#qmp.execute("cont");
    await guest.#connect();
    return guest;
  }

  /** Stops the guest, writes all of it to `file`, and lets it go on. */
  async save(file: string): Promise<void> {
    await this.#qmp.execute("stop");
    await this.#qmp.execute("migrate", { uri: `exec:cat > ${file}` });
    await this.#until("query-migrate", ({ status }) => {
      if (status === "failed" || status === "cancelled") throw new Error(`the migration ${status}`);
      return status === "completed";
    });
    await this.#qmp.execute("cont");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
    for (const stream of this.#child.stdio) stream?.destroy();
  }

  /** The links stay open, so that the guest goes on as any other. */
  async #connect(): Promise<void> {
    const [, , , , control, bulk] = this.#child.stdio as unknown as Duplex[];
    if (control && bulk) await Agent.connect({ control, bulk }, { timeoutMs: 120_000 });
  }

  async #until(command: string, holds: (answer: { status?: string }) => boolean): Promise<void> {
    while (!holds((await this.#qmp.execute(command)) as { status?: string })) await sleep(1);
  }
}

/** Our devices and kernel, without what we do for our snapshots and without the sandbox, which forbids `exec:`. */
function plainArguments({ assets, accelerator }: Runtime, memoryMiB: number): string[] {
  const hardware = { architecture: assets.architecture, accelerator, memoryMiB, vcpus: 1 };
  const source = { kernel: assets.kernel.vmlinuz, initramfs: assets.initramfs };
  const args = bootArguments(hardware, { path: "unused", shared: false }, source);
  const without = (option: string) => args.splice(args.indexOf(option), 2);
  without("-sandbox");
  without("-object");
  return [...args, "-object", `memory-backend-ram,id=ram,size=${memoryMiB}M`];
}
