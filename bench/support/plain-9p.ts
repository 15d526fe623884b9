import { PlainGuest } from "./plain-guest.js";

/**
 * A plain QEMU with a folder shared by `-virtfs` (9p, the ordinary options), for comparison. The cloud kernel of our guests has no
 * 9p, so this one runs Debian's ordinary kernel of the same version; all else is alike.
 */
export class Plain9p implements AsyncDisposable {
  readonly #guest: PlainGuest;

  private constructor(guest: PlainGuest) {
    this.#guest = guest;
  }

  static async start(folder: string, memoryMiB: number): Promise<Plain9p> {
    const share = `local,path=${folder},mount_tag=share,security_model=none,readonly=on`;
    const mount = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072,ro share /share";
    return new Plain9p(
      await PlainGuest.start({
        kernelPackage: "linux-image-amd64",
        modules: ["virtio_pci", "9pnet_virtio", "9p"],
        memoryMiB,
        device: ["-virtfs", share],
        setUp: ["mkdir /share", `${mount} || echo no share`, "cd /share"],
      }),
    );
  }

  /** Runs a script in the shared folder, with empty caches; gives how long it took by the guest's clock, in ms. */
  async run(script: string): Promise<number> {
    const clock = "read -r at rest < /proc/uptime; echo AT $at";
    const output = await this.#guest.run(`echo 3 > /proc/sys/vm/drop_caches; ${clock}; ${script}; ${clock}`);
    const [from = "", to = ""] = [...output.matchAll(/AT ([\d.]+)/g)].map(([, at]) => at);
    return (Number(to) - Number(from)) * 1000;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#guest[Symbol.asyncDispose]();
  }
}
