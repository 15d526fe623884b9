import type { BindMount, CacheMount, Mount, SecretMount, SshMount } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { COPY_DISK } from "../../machine/index.js";
import { writeArchiveImage } from "../../rootfs/index.js";
import { home, openScratch } from "../../store/index.js";
import { copyFiles, draftArchive, LayerDraft } from "../copy/index.js";
import { openSshAgent } from "../ssh/index.js";
import { LayerTree, toText } from "../tree/index.js";
import { cacheName, type HeldCache, holdCache } from "./cache-volume.js";
import type { MountContext } from "./mount-context.js";
import { findSource, seedKey } from "./mount-keys.js";
import { findPlace } from "./place.js";
import { readSecret } from "./secrets.js";

interface Owned {
  mode: number;
  /** `UID:GID` */
  owner: string;
}

/** What a machine mounts for a command. Paths are absolute, in the machine; disks are files of this machine. */
export type MachineMount =
  | { kind: "layers"; path: string; disks: readonly string[]; source: string; readOnly: boolean }
  | { kind: "memory"; path: string; bytes: number | undefined }
  | { kind: "file"; path: string; content: Buffer; owned: Owned }
  | { kind: "ssh"; path: string; agent: string; owned: Owned }
  | { kind: "cache"; path: string; cache: HeldCache; readOnly: boolean; owned: Owned; seed: string | undefined };

/** What a command needs for its mounts, until it is disposed of. */
export interface PreparedMounts extends AsyncDisposable {
  mounts: readonly MachineMount[];
  /** Folders and files to mount upon that the image does not have. */
  places: { folders: readonly string[]; files: readonly string[] };
  /** Secrets that are variables. */
  env: Readonly<Record<string, string>>;
  /** Where the first agent is, for a command that has no SSH_AUTH_SOCK of its own. */
  sshSocket: string | undefined;
}

/**
 * Opens what the mounts of a command take: waits for caches, writes files of the context to a disk, reads secrets.
 * @throws UsageError when a source or a secret is not there
 */
export async function prepareMounts(
  context: MountContext,
  image: LayerTree,
  mounts: readonly Mount[],
): Promise<PreparedMounts> {
  const preparer = new Preparer(context, image);
  try {
    await preparer.addAll(mounts);
  } catch (error) {
    await preparer[Symbol.asyncDispose]();
    throw error;
  }
  const { machine, folders, files, env, sshSocket } = preparer;
  return {
    mounts: machine,
    places: { folders: [...new Set(folders)], files },
    env,
    sshSocket,
    [Symbol.asyncDispose]: () => preparer[Symbol.asyncDispose](),
  };
}

class Preparer implements AsyncDisposable {
  readonly machine: MachineMount[] = [];
  readonly folders: string[] = [];
  readonly files: string[] = [];
  readonly env: Record<string, string> = {};
  sshSocket: string | undefined;
  #sshCount = 0;
  readonly #context: MountContext;
  readonly #image: LayerTree;
  readonly #open: AsyncDisposable[] = [];

  constructor(context: MountContext, image: LayerTree) {
    this.#context = context;
    this.#image = image;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#open.splice(0).reverse()) await each[Symbol.asyncDispose]();
  }

  async addAll(mounts: readonly Mount[]): Promise<void> {
    const caches = await this.#holdCaches(mounts.filter((mount) => mount.type === "cache"));
    // The folder before what is mounted in it.
    const depth = (mount: Mount) => (mount.target ?? "").split("/").length;
    for (const mount of [...mounts].sort((a, b) => depth(a) - depth(b))) await this.#add(mount, caches);
  }

  /** In the same order in every command, so that no two of them wait for each other. */
  async #holdCaches(mounts: readonly CacheMount[]): Promise<Map<Mount, HeldCache>> {
    const named = await Promise.all(
      mounts.map(async (mount) => ({ mount, name: cacheName(mount, await seedKey(this.#context, mount)) })),
    );
    const held = new Map<Mount, HeldCache>();
    let before: string | undefined;
    for (const { mount, name } of named.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (name === before && mount.sharing !== "private") {
        throw new UsageError(`two mounts of one command have the cache ${mount.id}`, {
          hint: "Mount it once, at a folder above both.",
        });
      }
      before = name;
      held.set(mount, this.#use(await holdCache(name, mount.sharing, this.#context.work)));
    }
    return held;
  }

  async #add(mount: Mount, caches: ReadonlyMap<Mount, HeldCache>): Promise<void> {
    if (mount.type === "bind") await this.#bind(mount);
    else if (mount.type === "tmpfs") {
      this.machine.push({ kind: "memory", path: await this.#place(mount.target, "folder"), bytes: mount.size });
    } else if (mount.type === "secret") await this.#secret(mount);
    else if (mount.type === "ssh") await this.#ssh(mount);
    else await this.#cache(mount, caches.get(mount));
  }

  #use<T extends AsyncDisposable>(what: T): T {
    this.#open.push(what);
    return what;
  }

  async #bind({ from, source, target, readOnly }: BindMount): Promise<void> {
    const { disks, path, what } = await this.#disks(from, source);
    this.machine.push({ kind: "layers", path: await this.#place(target, what), disks, source: path, readOnly });
  }

  async #secret({ id, target, env, required, mode, uid, gid }: SecretMount): Promise<void> {
    const source = this.#context.secrets[id];
    if (!source) {
      if (!required) return;
      throw new UsageError(`the secret ${id} is required, and was not given`, {
        hint: `Give it: --secret id=${id},src=FILE, or env=VARIABLE.`,
      });
    }
    const content = await readSecret(id, source);
    if (env !== undefined) {
      if (content.includes(0)) throw new UsageError(`the secret ${id} has a NUL byte: it can be no variable`);
      this.env[env] = content.toString();
    }
    if (target === undefined) return;
    const owned = { mode: mode ?? 0o400, owner: `${uid ?? 0}:${gid ?? 0}` };
    this.machine.push({ kind: "file", path: await this.#place(target, "file"), content, owned });
  }

  async #ssh({ id, target, required, mode, uid, gid }: SshMount): Promise<void> {
    const number = this.#sshCount++;
    const paths = this.#context.ssh[id];
    if (!paths) {
      if (!required) return;
      throw new UsageError(`the ssh-agent ${id} is required, and was not given`, {
        hint: `Give it: --ssh ${id}, or --ssh ${id}=SOCKET or a key's file.`,
      });
    }
    const { socket } = this.#use(await openSshAgent(id, paths));
    const path = await this.#place(target ?? `/run/buildkit/ssh_agent.${number}`, "file");
    this.sshSocket ??= path;
    const owned = { mode: mode ?? 0o600, owner: `${uid ?? 0}:${gid ?? 0}` };
    this.machine.push({ kind: "ssh", path, agent: socket, owned });
  }

  async #cache({ target, from, source, mode, uid, gid, readOnly }: CacheMount, cache?: HeldCache): Promise<void> {
    if (!cache) throw new Error(`the cache of ${target} is not held`);
    const owned = { mode: mode ?? 0o755, owner: `${uid ?? 0}:${gid ?? 0}` };
    const isSeeded = from !== undefined && cache.isFresh;
    const seed = isSeeded ? await this.#writeDisk(from, source) : undefined;
    if (seed && seed.what === "file")
      throw new UsageError(`the cache at ${target} cannot begin with a file: ${source}`);
    const path = await this.#place(target, "folder");
    this.machine.push({ kind: "cache", path, cache, readOnly, owned, seed: seed?.disk });
  }

  /** Layers are mounted as they are; files of the context are written to a disk first. */
  async #disks(from: string | undefined, path: string) {
    using source = await this.#context.openSource(from);
    const { node, names } = await findSource(source, path);
    const what = node.type === "directory" ? ("folder" as const) : ("file" as const);
    if (source.layers) return { disks: source.layers.map((layer) => layer.path), path: absolute(names), what };
    const { disk, name } = await this.#writeDisk(from, path);
    return { disks: [disk], path: what === "folder" ? "/" : `/${name}`, what };
  }

  async #writeDisk(from: string | undefined, path: string) {
    using source = await this.#context.openSource(from);
    const match = await findSource(source, path);
    const disk = this.#use(await openScratch(home().run, COPY_DISK));
    using empty = new LayerTree("nothing", []);
    const draft = await LayerDraft.begin(empty);
    const rules = { destination: "/", owner: undefined, mode: undefined, now: this.#context.now };
    await copyFiles(draft, source.tree, [match], rules);
    await writeArchiveImage(draftArchive(draft), disk.path, this.#context.work.signal);
    const what = match.node.type === "directory" ? ("folder" as const) : ("file" as const);
    return { disk: disk.path, name: toText(match.name), what };
  }

  async #place(target: string, what: "folder" | "file"): Promise<string> {
    const { path, missing } = await findPlace(this.#image, target, what);
    if (missing.length > 0 && what === "file") this.files.push(path);
    this.folders.push(...missing.slice(0, what === "file" ? -1 : undefined));
    return path;
  }
}

function absolute(names: readonly string[]): string {
  return `/${toText(names.join("/"))}`;
}
