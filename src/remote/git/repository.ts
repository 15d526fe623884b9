import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { NetworkError, UsageError } from "../../errors.js";
import { once } from "../../once.js";
import { explainingNoSpace, openScratch, type Scratch } from "../../store/index.js";
import type { WebClient } from "../web/index.js";
import { fetchPack } from "./fetch-pack.js";
import { type GitEntry, parseCommit, parseTree } from "./objects.js";
import { PackFile } from "./pack-file.js";
import { findRef, isCommit, type Refs, readRefs, type Wanted } from "./refs.js";
import { parseModules, submoduleUrl } from "./submodules.js";
import { openUploadPack, type UploadPack } from "./upload-pack.js";

/** Of these files in the folder of packs the owner may die. */
export const PACK = "git-pack";
const MOST_MODULES = 1024 * 1024;
const MOST_TARGET = 4095;
/** Of submodules in submodules. */
const MOST_DEPTH = 8;

export interface GitRequest {
  /** `https://`, `http://`, `git://`, `ssh://` or `USER@HOST:PATH`. */
  remote: string;
  /** A branch, a tag or a whole commit; by default what the server has as HEAD. */
  ref?: string | undefined;
  /** The beginning of the commit that it has to be. */
  checksum?: string | undefined;
  authorization?: string | undefined;
  /** Gives the socket of an ssh-agent; it is asked for when a repository is reached by SSH, and without it none is. */
  sshAgent?: (() => Promise<string>) | undefined;
  signal?: AbortSignal | undefined;
}

/** Where packs are put, and how they are fetched. */
export interface GitWork {
  client: WebClient;
  folder: string;
}

/** A repository elsewhere, at one commit. Nothing of it is written to this machine but its pack, and no program but this one looks at that. */
export class GitRepository implements AsyncDisposable {
  /** The commit; the server is asked when it is not given in full. @throws NetworkError, UsageError */
  readonly commit: () => Promise<string>;
  /** Fetches the commit's files. @throws NetworkError, UsageError, NoSpaceError */
  readonly checkout: () => Promise<GitCheckout>;
  readonly #work: GitWork;
  readonly #request: GitRequest;
  readonly #depth: number;
  readonly #open: (AsyncDisposable | Disposable)[] = [];
  readonly #server: () => Promise<UploadPack>;
  readonly #refs: () => Promise<Refs>;

  constructor(work: GitWork, request: GitRequest, depth = 0) {
    this.#work = work;
    this.#request = request;
    this.#depth = depth;
    this.#server = once(async () => {
      const server = await openUploadPack(work.client, request.remote, request);
      this.#open.push({ [Symbol.dispose]: () => server.close() });
      return server;
    });
    this.#refs = once(async () => readRefs(await (await this.#server()).refs()));
    this.commit = once(async () => this.#checked(isCommit(request.ref) ? request.ref : (await this.#wanted()).commit));
    this.checkout = once(() => this.#fetch());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#open.splice(0).reverse()) {
      if (Symbol.asyncDispose in each) await each[Symbol.asyncDispose]();
      else each[Symbol.dispose]();
    }
  }

  /** A repository within this one, which ends with it. */
  submodule(url: string, ref: string): GitRepository {
    if (this.#depth === MOST_DEPTH) throw new UsageError(`${url} is a submodule ${MOST_DEPTH} levels deep`);
    const { remote, authorization, sshAgent, signal } = this.#request;
    const own = isSameServer(url, remote) ? authorization : undefined;
    const request = { remote: url, ref, authorization: own, sshAgent, signal };
    const repository = new GitRepository(this.#work, request, this.#depth + 1);
    this.#open.push(repository);
    return repository;
  }

  async #wanted(): Promise<Wanted> {
    return findRef(await this.#refs(), this.#request.ref);
  }

  #checked(commit: string): string {
    const { checksum, remote } = this.#request;
    if (checksum === undefined || commit.startsWith(checksum.toLowerCase())) return commit;
    throw new NetworkError(`${remote} is not what --checksum says: it is at the commit ${commit}`);
  }

  async #fetch(): Promise<GitCheckout> {
    const commit = await this.commit();
    const wanted = await this.#wanted();
    const { client, folder } = this.#work;
    const late = AbortSignal.timeout(client.limits.wholeMs);
    const signal = this.#request.signal ? AbortSignal.any([this.#request.signal, late]) : late;
    const scratch = await openScratch(folder, PACK);
    this.#open.push(scratch);
    const { bytes, shallow } = await fetchPack(await this.#server(), await this.#refs(), wanted);
    await this.#save(bytes, scratch, signal);
    const pack = await PackFile.open(scratch.path, client.limits.bytes, signal);
    this.#open.push(pack);
    return new GitCheckout(this, this.#request.remote, pack, { ...wanted, commit }, shallow);
  }

  async #save(bytes: AsyncIterable<Buffer>, { path }: Scratch, signal: AbortSignal): Promise<void> {
    const { bytes: most } = this.#work.client.limits;
    async function* counted() {
      let size = 0;
      for await (const chunk of bytes) {
        size += chunk.length;
        if (size > most) throw new NetworkError(`the git server sends more than ${most} bytes`);
        yield chunk;
      }
    }
    await explainingNoSpace(path, () => pipeline(counted(), createWriteStream(path, { mode: 0o600 }), { signal }));
  }
}

/** Of URLs that tokens are for. */
function isSameServer(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && new URL(one).origin === new URL(other).origin;
}

/** The files of a commit. */
export class GitCheckout {
  readonly remote: string;
  readonly pack: PackFile;
  readonly wanted: Wanted;
  /** Commits whose parents are not here. */
  readonly shallow: readonly string[];
  readonly timeSeconds: number;
  /** Its root folder. */
  readonly root: GitEntry;
  readonly #repository: GitRepository;
  readonly #modules: () => Map<string, string>;
  readonly #submodules = new Map<string, Promise<GitCheckout>>();

  constructor(repository: GitRepository, remote: string, pack: PackFile, wanted: Wanted, shallow: readonly string[]) {
    this.#repository = repository;
    this.remote = remote;
    this.pack = pack;
    this.wanted = wanted;
    this.shallow = shallow;
    const { tree, timeSeconds } = parseCommit(pack.read(wanted.commit, "commit"));
    this.timeSeconds = timeSeconds;
    this.root = { kind: "folder", oid: tree };
    this.#modules = once(() => this.#readModules());
  }

  /** What a folder has. @throws NetworkError when it is malformed */
  list(folder: GitEntry): Map<string, GitEntry> {
    return parseTree(this.pack.read(folder.oid, "tree"));
  }

  size(file: GitEntry): number {
    return this.pack.find(file.oid, "blob").size;
  }

  read(file: GitEntry): Buffer {
    return this.pack.read(file.oid, "blob");
  }

  /** What a symbolic link holds, one character per byte. @throws NetworkError when no file system would take it */
  target(link: GitEntry): string {
    const target = this.size(link) > MOST_TARGET ? undefined : this.read(link).toString("latin1");
    if (target && !target.includes("\0")) return target;
    throw new NetworkError("the git repository has a symbolic link that cannot be");
  }

  /** The files of a submodule. @throws UsageError when the repository does not say where it is; NetworkError */
  submodule(path: string, entry: GitEntry): Promise<GitCheckout> {
    const opened = this.#submodules.get(path) ?? this.#openSubmodule(path, entry);
    this.#submodules.set(path, opened);
    return opened;
  }

  async #openSubmodule(path: string, { oid }: GitEntry): Promise<GitCheckout> {
    const url = this.#modules().get(path);
    if (url === undefined) throw new UsageError(`the git repository does not say where its submodule ${path} is`);
    return await this.#repository.submodule(submoduleUrl(url, this.remote), oid).checkout();
  }

  #readModules(): Map<string, string> {
    const file = this.list(this.root).get(".gitmodules");
    if (!file || file.kind === "folder" || file.kind === "submodule" || this.size(file) > MOST_MODULES)
      return new Map();
    return parseModules(this.read(file).toString());
  }
}
