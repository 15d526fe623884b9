import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  addSource,
  compileIgnoreFile,
  ignoreFileNames,
  MOST_DOCKERFILE_BYTES,
  type PathPatterns,
} from "../dockerfile/index.js";
import { UsageError } from "../errors.js";
import { readIgnoreFile } from "./contexts.js";
import type { BuildOptions } from "./options.js";
import type { StepSource } from "./steps/index.js";
import { ContextTree, FetchedTree, type FileDigests, LayerTree, resolveIn, toBytes } from "./tree/index.js";

const NAME = "the build context";
const DOCKERFILE = "Dockerfile";

/** The context of a build: the Dockerfile, and the files that COPY and ADD take. */
export interface MainContext {
  /** Its text. */
  dockerfile: string;
  /** Whoever opens the files disposes of them. */
  open(digests: FileDigests): StepSource & Disposable;
}

/** Whether the context has to be fetched: it is the URL of a git repository, an archive or a Dockerfile. */
export function isRemote({ context }: Pick<BuildOptions, "context">): boolean {
  return addSource(context).kind !== "path";
}

/** What the image is made of, for people and for its name: without a user, a password or a token. */
export function shownContext(options: Pick<BuildOptions, "context">): string {
  if (!isRemote(options)) return resolve(options.context);
  return options.context.replace(/^([a-z]+:\/\/)?[^@/]*@/, "$1").replace(/\?[^#]*/, "");
}

/** A folder of this machine. @throws UsageError without a Dockerfile; DockerfileError for a `.dockerignore` that cannot be read */
export async function folderContext({ context, file, dockerfile }: BuildOptions): Promise<MainContext> {
  const path = file ?? join(context, DOCKERFILE);
  const text = dockerfile ?? (await readLocal(path));
  const ignore = await readLocalIgnore(context, path, dockerfile !== undefined);
  return {
    dockerfile: text,
    open: (digests) => sourceOf(new ContextTree(NAME, context, digests, ignore)),
  };
}

/**
 * A layer of what was fetched. A URL that leads to a file alone is one of a Dockerfile, with nothing to copy from.
 * @param path of the layer; undefined where there is no file at all
 */
export async function fetchedContext(path: string | undefined, options: BuildOptions): Promise<MainContext> {
  const { file = DOCKERFILE, context, dockerfile } = options;
  const paths = path === undefined ? [] : [path];
  using tree = new LayerTree(NAME, paths);
  const names = await tree.names(await tree.root());
  const alone = addSource(context).kind === "url" && names.length === 1 ? names[0] : undefined;
  const single = alone === undefined ? undefined : await readWithin(tree, alone);
  if (single !== undefined)
    return { dockerfile: dockerfile ?? single, open: () => sourceOf(new FetchedTree(NAME, [])) };
  const text = dockerfile ?? (await readWithin(tree, toBytes(file)));
  if (text === undefined) {
    throw new UsageError(`${file} is not in ${shownContext(options)}`, {
      hint: "Name the Dockerfile with --file: its path is one in what the URL leads to.",
    });
  }
  const ignore = await readFetchedIgnore(tree, dockerfile === undefined ? file : undefined);
  return { dockerfile: text, open: () => sourceOf(new FetchedTree(NAME, paths, ignore)) };
}

function sourceOf(tree: ContextTree | FetchedTree): StepSource & Disposable {
  return { tree, key: undefined, layers: undefined, [Symbol.dispose]: () => tree[Symbol.dispose]() };
}

async function readLocal(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be read: ${cause.code ?? cause.message}`, {
      cause,
      hint: "Name the Dockerfile with --file, or the folder that has it.",
    });
  });
}

/** The file beside the Dockerfile comes before the context's own. */
async function readLocalIgnore(context: string, file: string, isText: boolean): Promise<PathPatterns | undefined> {
  const names = ignoreFileNames(file).map((name) => (name === ".dockerignore" ? join(context, name) : name));
  for (const path of isText ? names.slice(-1) : names) {
    const patterns = await readIgnoreFile(path);
    if (patterns) return patterns;
  }
  return undefined;
}

async function readFetchedIgnore(tree: LayerTree, file: string | undefined): Promise<PathPatterns | undefined> {
  const names = ignoreFileNames(file ?? "");
  for (const name of file === undefined ? names.slice(-1) : names) {
    const text = await readWithin(tree, toBytes(name));
    if (text !== undefined) return compileIgnoreFile(text, name);
  }
  return undefined;
}

/** The text of a file, through links that stay within the tree. @throws UsageError when it is too long */
async function readWithin(tree: LayerTree, path: string): Promise<string | undefined> {
  const node = (await resolveIn(tree, path))?.node;
  if (node?.type !== "file") return undefined;
  if (node.size > MOST_DOCKERFILE_BYTES)
    throw new UsageError(`${path} in ${tree.name} is too long for what it should be`);
  const pieces: Buffer[] = [];
  for await (const piece of tree.content(node)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}
