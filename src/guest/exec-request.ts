import { UsageError } from "../errors.js";
import { type ExtraFile, encodeFile } from "./assemble.js";
import { FieldWriter } from "./fields.js";

const KIND_EXEC = 1;
const KIND_PLAN = 32;
const UNLIMITED = 2n ** 64n - 1n;
const FLAG = { stdin: 1, merged: 2, tty: 4, createCwd: 8, cgroup: 16 } as const;

/** A soft and a hard limit of a resource (getrlimit(2)), `Infinity` for none. */
export interface ResourceLimit {
  /** RLIMIT_*, as Linux numbers them. */
  resource: number;
  soft: number;
  hard: number;
}

/** A command for {@link Agent.exec}. */
export interface ExecRequest {
  /** The program, looked up in `env.PATH` when it has no slash, and its arguments. */
  argv: readonly string[];
  /** The whole environment; PATH and HOME get docker's defaults when they are missing. */
  env?: Readonly<Record<string, string>>;
  /** Absolute path; "/" by default. It must exist, unless `createCwd`. */
  cwd?: string;
  /** Make a missing `cwd`, as docker does for an image's WORKDIR. */
  createCwd?: boolean;
  /** `name`, `uid`, `name:group` or `uid:gid` out of the image's own files; root by default. */
  user?: string;
  /** "ignore" (the default) is /dev/null. */
  stdin?: "pipe" | "ignore";
  /** Send standard error on the same channel as standard output. */
  mergeStderr?: boolean;
  /** Run on a terminal of this size; standard error is then part of standard output. */
  tty?: { rows: number; cols: number };
  /** Limits of its resources, by the kernel's numbers. */
  rlimits?: readonly ResourceLimit[];
  /** Commands that follow, each if the one before has succeeded, in the same surroundings and on the same streams. */
  chain?: readonly (readonly string[])[];
  /** Files that are written first, as the command's user. Together with all else of the request at most 1 MiB. */
  files?: readonly ExtraFile[];
  /** Keeps at least this much of the last output, and the command, when the stream is gone; see {@link Agent.attach}. */
  keepOutputBytes?: number;
  /** Closing the stream kills all that the command has ever started, not only its process group. */
  killTree?: boolean;
  /** The port that carries its bytes; "control" by default. A command on "bulk" waits behind all that is under way there. */
  link?: "control" | "bulk";
  /** So many bytes of each output may come to be on the way while they are consumed; the link's own window by default. */
  outputWindow?: number;
}

export function encodeExec(request: ExecRequest): Buffer {
  const { chain = [], files = [] } = request;
  const fields = new FieldWriter().kind(chain.length + files.length > 0 ? KIND_PLAN : KIND_EXEC);
  for (const file of files) fields.bytes(35, encodeFile(file));
  addCommand(fields, request.argv);
  for (const argv of chain) addCommand(fields.bytes(34, Buffer.alloc(0)), argv);
  for (const [name, value] of Object.entries(request.env ?? {})) fields.string(2, checked(`${name}=${value}`, "env"));
  if (request.cwd !== undefined) fields.string(3, checked(request.cwd, "cwd"));
  if (request.user !== undefined) fields.string(4, checked(request.user, "user"));
  const flags =
    (request.stdin === "pipe" ? FLAG.stdin : 0) |
    (request.mergeStderr ? FLAG.merged : 0) |
    (request.tty ? FLAG.tty : 0) |
    (request.createCwd ? FLAG.createCwd : 0) |
    (request.killTree ? FLAG.cgroup : 0);
  fields.u32(5, flags);
  if (request.tty) fields.u16(6, request.tty.rows).u16(7, request.tty.cols);
  for (const limit of request.rlimits ?? []) fields.bytes(32, encodeLimit(limit));
  if (request.keepOutputBytes !== undefined) fields.u32(33, request.keepOutputBytes);
  return fields.toBuffer();
}

function addCommand(fields: FieldWriter, argv: readonly string[]): void {
  if (argv.length === 0 || !argv[0]) throw new UsageError("argv is empty: there is no command to run");
  for (const argument of argv) fields.string(1, checked(argument, "argv"));
}

/** u32 resource, u64 soft, u64 hard; all bits set for none. */
function encodeLimit({ resource, soft, hard }: ResourceLimit): Buffer {
  const bytes = Buffer.allocUnsafe(20);
  bytes.writeUInt32LE(resource, 0);
  bytes.writeBigUInt64LE(soft === Infinity ? UNLIMITED : BigInt(soft), 4);
  bytes.writeBigUInt64LE(hard === Infinity ? UNLIMITED : BigInt(hard), 12);
  return bytes;
}

function checked(value: string, option: string): string {
  if (value.includes("\0"))
    throw new UsageError(`${option} holds a NUL character: ${JSON.stringify(value.slice(0, 100))}`);
  return value;
}
