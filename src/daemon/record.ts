import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { UsageError } from "../errors.js";
import { home, isEntry, replace, tryAcquireLock } from "../store/index.js";
import { ask, isNobody } from "./control-client.js";
import { socketPath } from "./socket-path.js";

/** Raised when the fields below change their meaning. */
const SCHEMA = 1;
const RECORD_FILE = "record.json";
const LOCK_FILE = "supervisor.lock";
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/;

const Status = v.picklist(["starting", "running", "paused", "asleep", "stopping", "restarting", "exited", "failed"]);

const Schema = v.object({
  schema: v.literal(SCHEMA),
  name: v.string(),
  /** Name of the snapshot, and what that was baked from. */
  image: v.string(),
  reference: v.string(),
  snapshotPath: v.string(),
  command: v.array(v.string()),
  labels: v.record(v.string(), v.string()),
  status: Status,
  /** Process ids of the supervisor and of the hypervisor. They mean nothing once it is over. */
  pid: v.number(),
  vmPid: v.optional(v.number()),
  isolation: v.optional(v.string()),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  startedAt: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  endedAt: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  /** Of the workload, once it has ended. */
  exitCode: v.optional(v.number()),
  /** Why it failed. */
  error: v.optional(v.string()),
  /** Whether everything of it goes away with the VM. */
  remove: v.boolean(),
  graceMs: v.number(),
  /** How often the workload was started again. */
  restarts: v.number(),
  memoryMiB: v.number(),
  vcpus: v.number(),
  /** Where its ports are reached on the host. */
  ports: v.optional(
    v.array(
      v.object({
        protocol: v.picklist(["tcp", "udp"]),
        host: v.string(),
        hostPort: v.number(),
        guestPort: v.number(),
      }),
    ),
  ),
  /** Where its HTTP server is reached on the host, where one port serves it and others. */
  http: v.optional(v.object({ url: v.string(), hostPort: v.number(), guestPort: v.number() })),
  /** How the workload is, where it has a health check. */
  health: v.optional(
    v.object({
      status: v.picklist(["starting", "healthy", "unhealthy"]),
      failures: v.number(),
      exitCode: v.optional(v.number()),
      output: v.optional(v.string()),
    }),
  ),
  stopSignal: v.optional(v.string()),
  /** Whether the guest ran out of memory when the workload last ended. */
  outOfMemory: v.optional(v.boolean()),
  /** Bytes of its output that a full disk did not take. */
  lostOutputBytes: v.optional(v.number()),
});

const { schema: _schema, ...fields } = Schema.entries;
/** What is known of a VM that runs, or ran, under a supervisor. */
export const VmRecord = v.object(fields);
export type VmRecord = v.InferOutput<typeof VmRecord>;
/** A supervisor has nothing to do but to answer; a machine that swaps may keep it from that. */
const ANSWER_MS = 5_000;
const KILLED = { status: "failed", error: "its supervisor was killed" } as const;

export type VmStatus = VmRecord["status"];

/** Paths of what belongs to the VM `name`. */
export function placeOf(name: string) {
  const folder = join(home().vms, checkVmName(name));
  return {
    folder,
    record: join(folder, RECORD_FILE),
    lock: join(folder, LOCK_FILE),
    spec: join(folder, "spec.json"),
    snapshot: join(folder, "snapshot"),
    output: join(folder, "output"),
    router: join(folder, "router"),
    messages: join(folder, "supervisor.log"),
  };
}

/** @throws UsageError when `name` cannot be a VM's name */
export function checkVmName(name: string): string {
  if (NAME.test(name) && isEntry(name)) return name;
  throw new UsageError(`${JSON.stringify(name)} cannot be a VM's name`, {
    hint: "A name has at most 63 letters, digits, dots, dashes and underscores, and starts with a letter or digit.",
  });
}

/**
 * Takes a name for a new VM: the lock is held as long as its supervisor lives, however that ends.
 * @throws UsageError when a VM of that name runs
 */
export async function claim(name: string): Promise<AsyncDisposable> {
  const { folder, lock } = placeOf(name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const held = await tryAcquireLock(lock);
  if (held) return held;
  throw new UsageError(`a VM with the name ${name} is running`, {
    hint: `Stop it (\`supermachine stop ${name}\`) or choose another name.`,
  });
}

/** Whether its supervisor still lives, if only to clean up. */
export async function isClaimed(name: string): Promise<boolean> {
  const { folder, lock } = placeOf(name);
  const isThere = await stat(folder).catch(() => undefined);
  if (!isThere) return false;
  try {
    const free = await tryAcquireLock(lock);
    await free?.[Symbol.asyncDispose]();
    return free === undefined;
  } catch (error) {
    // The folder went away just now.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Writes what is known of a VM; its supervisor does. */
export async function writeRecord(record: VmRecord): Promise<void> {
  const { record: path } = placeOf(record.name);
  await replace(path, (partial) =>
    writeFile(partial, JSON.stringify({ schema: SCHEMA, ...record }, null, 2), { mode: 0o600 }),
  );
}

/**
 * Reads what is known of a VM; `undefined` when there is none. While it runs its supervisor is asked, whose word counts. One whose
 * supervisor was killed shows as failed, and so does one whose record cannot be read.
 */
export async function readRecord(name: string): Promise<VmRecord | undefined> {
  const { folder, record: path } = placeOf(name);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const written = parseRecord(text);
  if (written && isOver(written.status)) return written;
  try {
    const answer = v.safeParse(VmRecord, await ask(await socketPath(folder), "GET", "/vm", { timeoutMs: ANSWER_MS }));
    if (answer.success) return answer.output;
  } catch (error) {
    if (isNobody(error)) return written ? { ...written, ...KILLED } : unreadable(name, path);
  }
  // Somebody listens, but is too busy to answer.
  return written ?? unreadable(name, path);
}

function parseRecord(text: string): VmRecord | undefined {
  try {
    const { schema: _, ...record } = v.parse(Schema, JSON.parse(text));
    return record;
  } catch {
    return undefined;
  }
}

/** What can be said of a VM that left nothing readable. */
function unreadable(name: string, path: string): VmRecord {
  return {
    ...{ name, image: "", reference: "", snapshotPath: "", command: [], labels: {}, status: "failed", pid: 0 },
    ...{ createdAt: new Date(0).toISOString(), remove: false, graceMs: 0, restarts: 0, memoryMiB: 0, vcpus: 0 },
    error: `${path} is damaged or of another version; \`supermachine rm ${name}\` removes it`,
  };
}

/** All VMs, those that ended too, by name. */
export async function listRecords(): Promise<VmRecord[]> {
  const names = await readdir(home().vms).catch(() => [] as string[]);
  const records = await Promise.all(names.filter((name) => NAME.test(name)).map((name) => readRecord(name)));
  return records.filter((record) => record !== undefined).sort((a, b) => a.name.localeCompare(b.name));
}

/** Removes what is left of a VM that has ended. @throws UsageError while it runs */
export async function removeRecord(name: string): Promise<void> {
  await using _lock = await claim(name);
  await rm(placeOf(name).folder, { recursive: true, force: true });
}

export function isOver(status: VmStatus): boolean {
  return status === "exited" || status === "failed";
}
