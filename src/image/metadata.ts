import { readFile, writeFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import * as v from "valibot";
import { CacheInvalidError, ImageNotFoundError } from "../errors.js";
import { EgressPolicySchema } from "../network/index.js";

export const METADATA_FILE = "metadata.json";
/** Raised when the fields below change their meaning. */
const SCHEMA = 1;

const Bound = v.union([v.number(), v.literal("unlimited")]);

const Count = v.pipe(v.number(), v.minValue(0));

/** How a snapshot's processes are run. */
export const RunConfigurationSchema = v.object({
  entrypoint: v.array(v.string()),
  cmd: v.array(v.string()),
  env: v.record(v.string(), v.string()),
  workdir: v.string(),
  user: v.string(),
  ulimits: v.optional(v.record(v.string(), v.union([Bound, v.object({ soft: Bound, hard: Bound })]))),
  exposedPorts: v.optional(v.array(v.string())),
  stopSignal: v.optional(v.string()),
  healthcheck: v.optional(
    v.object({
      test: v.array(v.string()),
      intervalMs: v.optional(Count),
      timeoutMs: v.optional(Count),
      startPeriodMs: v.optional(Count),
      retries: v.optional(Count),
    }),
  ),
});

const Metadata = v.object({
  schema: v.literal(SCHEMA),
  name: v.string(),
  /** What it was baked from, as the user wrote it. */
  reference: v.string(),
  /** Hash of everything that went into the bake; the same key needs no new bake. */
  key: v.string(),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  manifestDigest: v.string(),
  /** What its processes are built for, such as `linux/amd64`. Absent from snapshots of version 0.1. */
  platform: v.optional(v.string()),
  /** The host name it was baked with. */
  hostname: v.optional(v.string()),
  /** At which moment it was taken; absent means `start`. */
  ready: v.optional(v.picklist(["start", "listener", "before-workload"])),
  /** The TCP port that the image's own command listens on. */
  guestPort: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
  /** The image's own command as it runs in the guest, by its process id there. */
  workloadPid: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** It is the state of a guest that had run, and cannot be baked anew from its layers. */
  captured: v.optional(v.boolean()),
  /** How often processes had been ended for want of memory by then, where that was asked: in bakes that run something of the image. */
  oomKills: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** It is a part of a bundle, which has a file that lists all others. */
  bundled: v.optional(v.boolean()),
  template: v.object({
    key: v.string(),
    id: v.string(),
    memoryMiB: v.pipe(v.number(), v.integer(), v.minValue(1)),
    vcpus: v.pipe(v.number(), v.integer(), v.minValue(1)),
    accelerator: v.picklist(["kvm", "hvf", "whpx", "tcg"]),
    hypervisor: v.string(),
  }),
  config: RunConfigurationSchema,
  /** Of an image that was built here: its OCI configuration, for what is built from it and for saving it. */
  image: v.optional(v.record(v.string(), v.unknown())),
  /** What its VMs may reach unless they are started with something else. */
  egress: v.optional(EgressPolicySchema),
  /** The device state has no checksum of its own. */
  deviceState: v.object({ bytes: v.number(), crc32: v.number() }),
  /** The disk that its root's writable layer is on, in the file `root.disk`; absent where that is in memory. */
  rootDisk: v.optional(
    v.object({
      lun: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16_383)),
      /** As the guest sees it. */
      sizeMiB: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 20)),
      /** Of the file. */
      bytes: v.number(),
      crc32: v.number(),
    }),
  ),
  /** From the lowest to the highest. Paths are absolute, or relative to the snapshot's folder. */
  layers: v.array(
    v.object({ lun: v.pipe(v.number(), v.integer(), v.minValue(0)), path: v.string(), diffId: v.string() }),
  ),
});

/** What is known of a snapshot: `metadata.json`, with absolute paths. */
export type SnapshotMetadata = v.InferOutput<typeof Metadata>;

/**
 * Reads and checks the metadata of the snapshot in `folder`.
 * @throws ImageNotFoundError when there is none, CacheInvalidError when it is damaged or of another schema
 */
export async function readMetadata(folder: string): Promise<SnapshotMetadata> {
  const path = join(folder, METADATA_FILE);
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== "ENOENT" && cause.code !== "ENOTDIR") throw cause;
    throw new ImageNotFoundError(`there is no snapshot in ${folder}`, {
      cause,
      hint: "`supermachine images` lists them.",
    });
  });
  try {
    const metadata = v.parse(Metadata, JSON.parse(text));
    const absolute = (path: string) => (isAbsolute(path) ? path : resolve(folder, path));
    return { ...metadata, layers: metadata.layers.map((layer) => ({ ...layer, path: absolute(layer.path) })) };
  } catch (cause) {
    throw new CacheInvalidError(`the snapshot's ${path} is damaged or of another version`, {
      cause,
      hint: "Remove the snapshot (`supermachine rmi`) and bake it anew.",
    });
  }
}

/** Writes the metadata of a new snapshot. */
export async function writeMetadata(folder: string, metadata: Omit<SnapshotMetadata, "schema">): Promise<void> {
  await writeFile(join(folder, METADATA_FILE), JSON.stringify({ schema: SCHEMA, ...metadata }, null, 2), {
    mode: 0o600,
  });
}
