import { type AddSource, addSource, parseSourcePath } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { once } from "../../once.js";
import { stepKey } from "../cache.js";
import { findSources, findWithParents, type Match, type SourceTree, type TreeNode } from "../tree/index.js";
import type { CopyRequest } from "./copy-step.js";
import { gitSource, urlSource } from "./remote-sources.js";
import type { StepContext, StepSource } from "./step-context.js";

/** One source of an instruction. */
export interface CopySource {
  /** Names what is copied without reading it; undefined when only the files can tell. */
  key(): Promise<string | undefined>;
  files(): Promise<CopyFiles>;
  /** Whether an archive is unpacked. */
  unpacks: boolean;
}

export interface CopyFiles {
  tree: SourceTree;
  matches: readonly Match<TreeNode>[];
}

/** What the sources of an instruction stand for, in their order: files of the context, of a stage or an image, and for ADD what is fetched. */
export class CopySources implements AsyncDisposable {
  readonly #context: StepContext;
  readonly #step: CopyRequest;
  readonly #opened: AsyncDisposable[] = [];
  #local: Promise<StepSource & Disposable> | undefined;

  constructor(context: StepContext, step: CopyRequest) {
    this.#context = context;
    this.#step = step;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const local = await this.#local?.catch(() => undefined);
    local?.[Symbol.dispose]();
    for (const each of this.#opened.splice(0)) await each[Symbol.asyncDispose]();
  }

  all(): CopySource[] {
    const { sources, kind } = this.#step;
    return sources.map((text) => this.#open(kind === "copy" ? { kind: "path", path: text } : addSource(text)));
  }

  #open(source: AddSource): CopySource {
    const { kind, unpack, checksum, keepGitDir } = this.#step;
    const { work, remote, secrets, ssh } = this.#context;
    // As in BuildKit, what is here is unpacked unless told otherwise, and what is fetched only when told so.
    if (source.kind === "url") {
      return { ...urlSource(remote, source.url, { checksum, signal: work.signal }), unpacks: unpack ?? false };
    }
    if (source.kind === "git") {
      const opened = gitSource(remote, source, { checksum, keepGitDir, secrets, ssh, signal: work.signal });
      this.#opened.push(opened);
      return { ...opened, unpacks: false };
    }
    return {
      key: () => this.#localKey(source.path),
      files: once(() => this.#localFiles(source.path)),
      unpacks: kind === "add" && (unpack ?? true),
    };
  }

  /** A stage or an image is known by its layers: then nothing of it has to be read to find what was copied from it. */
  async #localKey(path: string): Promise<string | undefined> {
    const { key } = await this.#openLocal();
    return key === undefined ? undefined : stepKey([key, path, this.#step.parents]);
  }

  async #localFiles(path: string): Promise<CopyFiles> {
    const { tree } = await this.#openLocal();
    const { parents, sources } = this.#step;
    const parsed = parseSourcePath(path, { parents });
    const matches = await (parents ? findWithParents : findSources)(tree, parsed);
    if (matches.length > 0 || (parsed.hasWildcard && sources.length > 1)) return { tree, matches };
    throw new UsageError(`${path} is not in ${tree.name}`, {
      hint: tree.keepsOwners
        ? "Look at what the stage makes."
        : "Paths are below the context; .dockerignore leaves some out.",
    });
  }

  #openLocal(): Promise<StepSource & Disposable> {
    this.#local ??= this.#context.openSource(this.#step.from);
    return this.#local;
  }
}
