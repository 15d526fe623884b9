import { appendFile, mkdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { home, tryAcquireLock } from "../store/index.js";
import { logPaths } from "./log-file.js";
import { inOrder, TailReader } from "./tail-reader.js";

const FILE_BYTES = 5 * 2 ** 20;
const OLD_FILES = 1;
const POLL_MS = 100;
/** A guest can bring about as many decisions as it likes; more than so many a second are only counted. */
const EGRESS_PER_SECOND = 20;

const Event = v.object({
  /** When it was, as ISO 8601. */
  time: v.string(),
  /** The VM's name. */
  vm: v.string(),
  event: v.picklist([
    ...([
      "start",
      "ready",
      "health",
      "pause",
      "resume",
      "kill",
      "stop",
      "oom",
      "die",
      "restart",
      "sleep",
      "wake",
    ] as const),
    ...(["fork", "snapshot", "egress", "remove"] as const),
  ]),
  /** What else there is to say about it, such as the exit code. */
  details: v.record(v.string(), v.union([v.string(), v.number(), v.boolean()])),
});

/** Something that happened to a VM in the background. */
export type VmEvent = v.InferOutput<typeof Event>;
export type VmEventDetails = VmEvent["details"];

/** Which events are wanted. */
export interface EventOptions {
  /** Only those of this VM. */
  vm?: string | undefined;
  /** Those that were from then on; by default none of the past. */
  since?: Date | undefined;
  /** Goes on with new ones until `signal` aborts; true by default. */
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Notes an event of a VM. Where that fails, a full disk for one, nothing else does. */
export async function recordEvent(vm: string, event: VmEvent["event"], details: VmEventDetails = {}): Promise<void> {
  const path = eventsPath();
  const line = JSON.stringify({ time: new Date().toISOString(), vm, event, details } satisfies VmEvent);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // One small write at the end of the file: those of several processes do not mix.
    await appendFile(path, `${line}\n`, { mode: 0o600 });
    if ((await stat(path)).size > FILE_BYTES) await rotate(path);
  } catch {
    // It is told to who follows the VM's own log or asks its state all the same.
  }
}

/** What happened to VMs, oldest first. The last 5 to 10 MiB of it are kept. */
export async function* readEvents(options: EventOptions = {}): AsyncGenerator<VmEvent> {
  const { vm, since, follow = true, signal } = options;
  const from = (since ?? new Date()).toISOString();
  // What was noted in this very millisecond is past.
  const isLate = ({ time }: VmEvent) => (since ? time >= from : time > from);
  const isWanted = (event: VmEvent) => isLate(event) && (vm === undefined || event.vm === vm);
  const readers = logPaths(eventsPath(), OLD_FILES).map((path) => new TailReader(path, parseEvent));
  const current = readers.at(-1);
  try {
    for await (const event of inOrder(readers)) if (isWanted(event)) yield event;
    while (follow && current && !signal?.aborted) {
      await sleep(POLL_MS, undefined, signal ? { signal } : {}).catch(() => undefined);
      for await (const event of current.more()) if (isWanted(event)) yield event;
    }
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
  }
}

/** Lets so many events of a second pass, and counts the others. */
export class EventLimit {
  #second = 0;
  #passed = 0;
  #dropped = 0;

  /** Undefined for one too many; else how many were, since the last one that passed. */
  pass(now = Date.now()): { dropped: number } | undefined {
    const second = Math.floor(now / 1_000);
    if (second !== this.#second) [this.#second, this.#passed] = [second, 0];
    if (this.#passed >= EGRESS_PER_SECOND) {
      this.#dropped++;
      return undefined;
    }
    this.#passed++;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return { dropped };
  }
}

/** One file for all VMs, since those that leave nothing else behind have events too. */
function eventsPath(): string {
  return join(home().vms, ".events");
}

async function rotate(path: string): Promise<void> {
  await using lock = await tryAcquireLock(`${path}.lock`);
  if (!lock || (await stat(path)).size <= FILE_BYTES) return;
  await rename(path, `${path}.1`);
}

function parseEvent(text: string): VmEvent | undefined {
  try {
    const parsed = v.safeParse(Event, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
