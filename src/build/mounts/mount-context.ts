import type { LongWork } from "../../progress.js";
import type { StoredLayer } from "../../rootfs/index.js";
import type { SourceTree } from "../tree/index.js";
import type { SecretSource } from "./secrets.js";

/** Files that a mount can show: the context, or the layers of a stage or an image. */
export interface MountSource {
  tree: SourceTree;
  /** Names all files of the tree; of a stage or an image. */
  key: string | undefined;
  layers: readonly StoredLayer[] | undefined;
}

/** What mounts take from their build. */
export interface MountContext {
  openSource: (from: string | undefined) => Promise<MountSource & Disposable>;
  secrets: Readonly<Record<string, SecretSource>>;
  /** Of ssh mounts, by id: the socket of an agent or files of keys; none for the agent of this process. */
  ssh: Readonly<Record<string, readonly string[]>>;
  /** Seconds since 1970. */
  now: number;
  work: LongWork;
}
