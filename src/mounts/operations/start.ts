import { DATA_MAX, Refusal, type Request } from "../wire.js";
import type { Session } from "./session.js";

const MAJOR = 7;
const MINOR = 31;
/** Linux 4.20: replies have their present form, and MAX_PAGES is known. */
const LEAST_MINOR = 28;
const PAGE = 4096;

/** Bits of FUSE_INIT: what we want of what the kernel offers. */
const WANTED =
  (1 << 0) | // ASYNC_READ: several reads of a file at a time
  (1 << 3) | // ATOMIC_O_TRUNC: one request to open and empty a file
  (1 << 5) | // BIG_WRITES
  (1 << 12) | // AUTO_INVAL_DATA: forget the content of a file whose time or size has changed
  (1 << 13) | // DO_READDIRPLUS
  (1 << 14) | // READDIRPLUS_AUTO
  (1 << 18) | // PARALLEL_DIROPS
  (1 << 22); // MAX_PAGES

/** FUSE_INIT. Locks are not asked for, so the guest's kernel keeps them: they hold among the processes of one guest. */
export function start(_session: Session, { body }: Request): Buffer {
  const [major, minor, readahead, offered] = [0, 4, 8, 12].map((at) => body.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  if (major !== MAJOR || minor < LEAST_MINOR) throw new Refusal("EPROTO");
  const out = Buffer.alloc(64);
  out.writeUInt32LE(MAJOR, 0);
  out.writeUInt32LE(MINOR, 4);
  out.writeUInt32LE(Math.min(readahead, DATA_MAX), 8);
  out.writeUInt32LE((offered & WANTED) >>> 0, 12);
  out.writeUInt16LE(48, 16); // requests that nobody waits for, at most
  out.writeUInt16LE(36, 18); // from here on they are considered many
  out.writeUInt32LE(DATA_MAX, 20);
  out.writeUInt32LE(1, 24); // times are exact to the nanosecond
  out.writeUInt16LE(DATA_MAX / PAGE, 28);
  return out;
}
