import { createReadStream, createWriteStream } from "node:fs";
import { resolve } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as v from "valibot";
import { home, openScratch } from "../store/index.js";
import type { Vm } from "../vm/index.js";
import { ask } from "./control-client.js";

/** What archives on their way to or from a client end in. */
const SPOOLED = "copy";
/** Copies take as long as they take. */
const LIMIT_MS = 2 ** 31 - 1;

const Options = v.object({
  followSymlinks: v.optional(v.boolean()),
  owner: v.optional(v.string()),
  preserveOwner: v.optional(v.boolean()),
  keepSetuid: v.optional(v.boolean()),
  keepOutsideLinks: v.optional(v.boolean()),
});
const CopyRequest = v.object({
  /** Which way; an archive is a file of this machine in either case. */
  what: v.picklist(["in", "out", "archive-in", "archive-out"]),
  guest: v.string(),
  /** Absolute; what follows the last slash counts. */
  host: v.string(),
  options: Options,
});
type CopyRequest = v.InferOutput<typeof CopyRequest>;

/** How files are copied into or out of a VM under a supervisor. */
export type RemoteCopyOptions = v.InferOutput<typeof Options> & { signal?: AbortSignal | undefined };

const Result = v.object({
  files: v.optional(v.number()),
  bytes: v.optional(v.number()),
  skipped: v.optional(v.array(v.object({ path: v.string(), reason: v.string() })), []),
  setuid: v.optional(v.array(v.string()), []),
});

/** What became of a copy. */
export type RemoteCopyResult = v.InferOutput<typeof Result>;

/** Does what a client asks for: it is this user's process on this machine, so it names files. */
export async function serveCopy(vm: Vm, body: unknown, signal: AbortSignal): Promise<unknown> {
  const { what, guest, host, options } = v.parse(CopyRequest, body);
  const { owner, followSymlinks, ...extract } = { ...options };
  const links = { signal, ...(followSymlinks !== undefined && { followSymlinks }) };
  const ownerOf = owner === undefined ? {} : { owner };
  if (what === "in") return vm.copyIn(host, guest, { ...links, ...ownerOf });
  if (what === "out") return vm.copyOut(guest, host, { ...links, ...definedOnly(extract) });
  if (what === "archive-in") return vm.copyInArchive(createReadStream(host), guest, { signal, ...ownerOf });
  await pipeline(await vm.copyOutArchive(guest, links), createWriteStream(host), { signal });
  return {};
}

function definedOnly<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Asks a VM's supervisor to copy. */
export class RemoteCopy {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  in(host: string, guest: string, options: RemoteCopyOptions): Promise<RemoteCopyResult> {
    return this.#ask("in", guest, absolute(host), options);
  }

  out(guest: string, host: string, options: RemoteCopyOptions): Promise<RemoteCopyResult> {
    return this.#ask("out", guest, absolute(host), options);
  }

  /** What a tar archive holds, into a folder. */
  async archiveIn(archive: Readable, guest: string, options: RemoteCopyOptions): Promise<RemoteCopyResult> {
    await using file = await openScratch(home().run, SPOOLED);
    await pipeline(archive, createWriteStream(file.path), { ...(options.signal && { signal: options.signal }) });
    return await this.#ask("archive-in", guest, file.path, options);
  }

  /** A tar archive of what a path of the guest names. */
  async archiveOut(guest: string, output: Writable, options: RemoteCopyOptions): Promise<void> {
    await using file = await openScratch(home().run, SPOOLED);
    await this.#ask("archive-out", guest, file.path, options);
    await pipeline(createReadStream(file.path), output, {
      end: false,
      ...(options.signal && { signal: options.signal }),
    });
  }

  async #ask(
    what: CopyRequest["what"],
    guest: string,
    host: string,
    { signal, ...options }: RemoteCopyOptions,
  ): Promise<RemoteCopyResult> {
    const body = { what, guest, host, options } satisfies CopyRequest;
    return v.parse(Result, await ask(this.#socket, "POST", "/copy", { body, signal, timeoutMs: LIMIT_MS }));
  }
}

/** The supervisor has a working directory of its own. */
function absolute(path: string): string {
  const [end = ""] = /(^|\/)\.?$/.exec(path) ?? [];
  return `${resolve(path).replace(/\/$/, "")}${end === "" || end.startsWith("/") ? end : `/${end}`}` || "/";
}
