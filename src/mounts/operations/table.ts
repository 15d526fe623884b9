import { Opcode, Refusal, type Request } from "../wire.js";
import { getattr, setattr, statfs } from "./attributes.js";
import { create, fsync, open, read, release, write } from "./content.js";
import { fsyncdir, opendir, readdir, readdirplus, releasedir } from "./listing.js";
import { link, lookup, mkdir, mknod, readlink, rename, rename2, rmdir, symlink, unlink } from "./names.js";
import type { Handler, Session } from "./session.js";
import { start } from "./start.js";

/** What is served. For all else the kernel is told ENOSYS, and does without: locks are then its own, for instance. */
export const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [Opcode.init, start],
  [Opcode.lookup, lookup],
  [Opcode.getattr, getattr],
  [Opcode.setattr, setattr],
  [Opcode.readlink, readlink],
  [Opcode.symlink, symlink],
  [Opcode.mknod, mknod],
  [Opcode.mkdir, mkdir],
  [Opcode.unlink, unlink],
  [Opcode.rmdir, rmdir],
  [Opcode.rename, rename],
  [Opcode.rename2, rename2],
  [Opcode.link, link],
  [Opcode.open, open],
  [Opcode.create, create],
  [Opcode.read, read],
  [Opcode.write, write],
  [Opcode.release, release],
  [Opcode.fsync, fsync],
  [Opcode.statfs, statfs],
  [Opcode.opendir, opendir],
  [Opcode.readdir, readdir],
  [Opcode.readdirplus, readdirplus],
  [Opcode.releasedir, releasedir],
  [Opcode.fsyncdir, fsyncdir],
  [Opcode.destroy, () => undefined],
  [Opcode.ioctl, noTerminal],
]);

function noTerminal(): never {
  throw new Refusal("ENOTTY");
}

/** Requests that have no reply: the kernel refers to a node no longer, or would rather not wait. True when it was one. */
export function takeSilent({ tree }: Session, { opcode, node, body }: Request): boolean {
  if (opcode === Opcode.forget && body.length >= 8) {
    tree.nodes.forget(node, Number(body.readBigUInt64LE(0)));
  } else if (opcode === Opcode.batchForget && body.length >= 8) {
    const count = body.readUInt32LE(0);
    for (let at = 8; at + 16 <= body.length && at < 8 + 16 * count; at += 16) {
      tree.nodes.forget(Number(body.readBigUInt64LE(at)), Number(body.readBigUInt64LE(at + 8)));
    }
  }
  return opcode === Opcode.forget || opcode === Opcode.batchForget || opcode === Opcode.interrupt;
}
