import { once } from "node:events";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { UsageError, VmError } from "../errors.js";
import { home, isEntry, replace, tryAcquireLock } from "../store/index.js";
import { socketPath } from "./socket-path.js";

/** Raised when the fields below change their meaning. */
const SCHEMA = 1;
const RECORD_FILE = "record.json";
const LOCK_FILE = "supervisor.lock";
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/;

const Status = v.picklist(["starting", "running", "stopping", "restarting", "exited", "failed"]);

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
});

/** What is known of a VM that runs, or ran, under a supervisor. */
export type VmRecord = Omit<v.InferOutput<typeof Schema>, "schema">;
export type VmStatus = VmRecord["status"];

/** Paths of what belongs to the VM `name`. */
export function placeOf(name: string) {
  const folder = join(home().vms, checkVmName(name));
  return {
    folder,
    record: join(folder, RECORD_FILE),
    lock: join(folder, LOCK_FILE),
    output: join(folder, "output"),
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

/** Writes what is known of a VM; its supervisor does. */
export async function writeRecord(record: VmRecord): Promise<void> {
  const { record: path } = placeOf(record.name);
  await replace(path, (partial) =>
    writeFile(partial, JSON.stringify({ schema: SCHEMA, ...record }, null, 2), { mode: 0o600 }),
  );
}

/** Reads what is known of a VM; `undefined` when there is none. One whose supervisor was killed shows as failed. */
export async function readRecord(name: string): Promise<VmRecord | undefined> {
  const { record: path } = placeOf(name);
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(Schema, JSON.parse(text));
  if (!parsed.success) throw new VmError(`${path} is damaged or of another version`, { hint: "Remove its folder." });
  const { schema: _, ...record } = parsed.output;
  if (isOver(record.status) || (await isSupervised(name))) return record;
  return { ...record, status: "failed", error: "its supervisor was killed" };
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

/** Whether the supervisor lives: then, and only then, somebody listens on its socket. */
async function isSupervised(name: string): Promise<boolean> {
  const socket = connect(await socketPath(placeOf(name).folder));
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
