import { UsageError, VmError } from "../errors.js";
import { ask } from "./ask.js";
import { errnoName, signalNumber } from "./errno.js";
import { Fields, FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import { RECORD_MAX, RecordDecoder } from "./records.js";

const KIND_PROCESSES = 34;
const KIND_SIGNAL = 35;
/** The kernel's own bound of process ids. */
const PROCESSES_MAX = 4_194_304;
const FLAG = { command: 1, kept: 2 } as const;

/** A process of the workload, as /proc shows it. */
export interface ProcessInfo {
  pid: number;
  /** Its parent; 0 for one whose parent is outside, such as a command of ours. */
  parentPid: number;
  uid: number;
  /** The kernel's letter: R running, S sleeping, D waiting for a device, T stopped, Z ended and not yet reaped, ... */
  state: string;
  /** The short name that the kernel has for it. */
  name: string;
  /** At most 4 KiB of its arguments; none for one that has ended. */
  argv: string[];
  /** Resident memory. */
  memoryBytes: number;
  /** Processor time that it has used. */
  cpuMs: number;
  /** When it was started, since the guest's kernel booted. */
  startedMs: number;
  /** Whether it was started by `exec` or `run`. */
  isCommand: boolean;
  /** Whether it can be attached to: it was started with `keepOutput`. */
  isAttachable: boolean;
}

/** All processes of the workload. */
export async function listProcesses(link: Link, signal?: AbortSignal): Promise<ProcessInfo[]> {
  const found: ProcessInfo[] = [];
  const decoder = new RecordDecoder(RECORD_MAX, (record) => {
    if (found.length === PROCESSES_MAX) throw new VmError("The guest listed more processes than there can be");
    found.push(decode(record));
  });
  await ask(link, new FieldWriter().kind(KIND_PROCESSES).toBuffer(), {
    onData: (bytes) => decoder.push(bytes),
    fail: ({ text }) => new VmError(`The guest's processes could not be listed: ${text}`),
    signal,
  });
  return found.sort((a, b) => a.pid - b.pid);
}

/** Sends a signal to a process, or to the process group that it leads; false when there is none of that number. */
export async function signalProcess(
  link: Link,
  pid: number,
  signal: NodeJS.Signals | number,
  group: boolean,
): Promise<boolean> {
  const number = signalNumber(signal);
  if (number === undefined) throw new UsageError(`There is no signal ${signal}`);
  if (!Number.isInteger(pid) || pid < 1 || pid > PROCESSES_MAX) throw new UsageError(`There can be no process ${pid}`);
  const fields = new FieldWriter()
    .kind(KIND_SIGNAL)
    .u32(1, pid)
    .u32(2, number)
    .u8(3, group ? 1 : 0);
  let gone = false;
  const fail = ({ errno, text }: { errno: string; text: string }) => {
    gone = errno === errnoName(3);
    return new VmError(`The signal ${signal} could not be sent: ${text}`);
  };
  try {
    await ask(link, fields.toBuffer(), { fail });
    return true;
  } catch (error) {
    if (gone) return false;
    throw error;
  }
}

function decode(record: Buffer): ProcessInfo {
  const fields = new Fields(record, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  const flags = fields.u32(10);
  return {
    pid: fields.u32(1),
    parentPid: fields.u32(2),
    uid: fields.u32(3),
    state: fields.text(4),
    name: fields.text(5),
    argv: fields
      .bytes(6)
      .toString("utf8")
      .replace(/\0$/, "")
      .split("\0")
      .filter((argument, _index, all) => argument !== "" || all.length > 1),
    memoryBytes: Number(fields.u64(7)),
    cpuMs: Number(fields.u64(8)),
    startedMs: Number(fields.u64(9)),
    isCommand: (flags & FLAG.command) !== 0,
    isAttachable: (flags & FLAG.kept) !== 0,
  };
}
