import type { Disk } from "../../engine/index.js";
import { UsageError } from "../../errors.js";
import type { Machine } from "../../machine/index.js";
import { relayRequest } from "../ssh/index.js";
import type { MachineMount } from "./prepare-mounts.js";

/** Above those of all layers, and below those of disks that are lent. */
const FIRST_LUN = 512;
const LAST_LUN = 1023;

/** Gives an assembled machine the mounts of its command. What it gives is to be disposed of when that has ended. @throws VmError */
export async function attachMounts(
  machine: Machine,
  mounts: readonly MachineMount[],
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  const attacher = new Attacher(machine, signal);
  for (const mount of mounts) await attacher.attach(mount);
  return attacher;
}

class Attacher implements Disposable {
  readonly #machine: Machine;
  readonly #options: { signal?: AbortSignal };
  readonly #sockets: Disposable[] = [];
  #lun = FIRST_LUN;

  constructor(machine: Machine, signal: AbortSignal | undefined) {
    this.#machine = machine;
    this.#options = signal ? { signal } : {};
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets.splice(0)) socket[Symbol.dispose]();
  }

  async attach(mount: MachineMount): Promise<void> {
    const { agent } = this.#machine;
    const { kind, path } = mount;
    if (kind === "memory") await agent.mount({ path, bytes: mount.bytes }, this.#options);
    else if (kind === "cache") await this.#cache(mount);
    else if (kind === "ssh") {
      const answer = (message: Buffer) => relayRequest(mount.agent, message);
      this.#sockets.push(await agent.openSocket(path, answer, this.#options));
      await this.#own(path, mount.owned);
    } else if (kind === "layers") {
      const { source, readOnly } = mount;
      await agent.mount({ path, luns: await this.#disks(mount.disks), source, readOnly }, this.#options);
    } else {
      await agent.mount({ path, asFile: true }, this.#options);
      await agent.files.write(path, mount.content, { inPlace: {}, ...this.#options });
      await this.#own(path, mount.owned);
    }
  }

  async #cache({ path, cache, readOnly, owned, seed }: Extract<MachineMount, { kind: "cache" }>): Promise<void> {
    const { agent } = this.#machine;
    if (cache.isFresh && readOnly) {
      // Nothing can be begun in it; it is what it would begin with.
      await agent.mount({ path, luns: await this.#disks(seed === undefined ? [] : [seed]), readOnly }, this.#options);
      return;
    }
    const lun = this.#next();
    await this.#machine.attachVolume({ lun, path: cache.path, volume: "writable" });
    await agent.mountVolume({ lun, path, readOnly }, this.#options);
    if (!cache.isFresh) return;
    const [disk] = await this.#disks(seed === undefined ? [] : [seed]);
    if (disk !== undefined) await agent.copyIn({ lun: disk, path, hasXattrs: true }, this.#options);
    await this.#own(path, owned);
    cache.begun();
  }

  /** The owner first: a change of it takes away some bits of the mode. */
  async #own(path: string, { mode, owner }: { mode: number; owner: string }): Promise<void> {
    const { files } = this.#machine.agent;
    await files.chown({ path, user: owner, ...this.#options });
    await files.chmod({ path, mode, ...this.#options });
  }

  async #disks(paths: readonly string[]): Promise<number[]> {
    const disks = paths.map((path): Disk => ({ lun: this.#next(), path }));
    await this.#machine.attachDisks(disks);
    return disks.map(({ lun }) => lun);
  }

  #next(): number {
    if (this.#lun > LAST_LUN) throw new UsageError("the mounts of one command have more than 512 layers");
    return this.#lun++;
  }
}
