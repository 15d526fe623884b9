import { createReadStream } from "node:fs";
import type { AddSource } from "../../dockerfile/index.js";
import { UsageError } from "../../errors.js";
import { once } from "../../once.js";
import { type DownloadOptions, gitDirectory, type Remote } from "../../remote/index.js";
import { stepKey } from "../cache.js";
import { readSecret, type SecretSource } from "../mounts/index.js";
import { openSshAgent, type SshAgent } from "../ssh/index.js";
import { filesTree, GitTree, resolveIn, toBytes } from "../tree/index.js";
import type { CopyFiles, CopySource } from "./copy-sources.js";

type GitAddSource = Extract<AddSource, { kind: "git" }>;

/** As BuildKit has it: what comes from the web is its owner's alone unless --chmod says otherwise. */
const WEB_MODE = 0o600;

/** ADD of a URL: one file under the last name of the URL's path, with the time that the server tells. */
export function urlSource(remote: Remote, text: string, options: DownloadOptions): Omit<CopySource, "unpacks"> {
  const url = parseUrl(text);
  const name = nameOf(url);
  const download = once(() => remote.download(url, options));
  return {
    key: async () => stepKey(["url", name, (await download()).sha256]),
    files: async () => {
      const { path, sha256, size, mtimeSeconds } = await download();
      const content = () => createReadStream(path) as AsyncIterable<Buffer>;
      const file = { name, mode: WEB_MODE, mtimeSeconds, size, content, digest: async () => sha256 };
      const tree = filesTree(text, [file]);
      return { tree, matches: await tree.matches() };
    },
  };
}

export interface GitOptions {
  checksum: string | undefined;
  keepGitDir: boolean;
  secrets: Readonly<Record<string, SecretSource>>;
  /** As of a build: agents and keys by their ids. */
  ssh: Readonly<Record<string, readonly string[]>>;
  signal: AbortSignal | undefined;
}

/** ADD of a git repository: what a folder of it has at a commit. */
export function gitSource(
  remote: Remote,
  { remote: url, ref, folder }: GitAddSource,
  options: GitOptions,
): Omit<CopySource, "unpacks"> & AsyncDisposable {
  const { checksum, signal, keepGitDir } = options;
  const { default: keys } = options.ssh;
  let agent: Promise<SshAgent> | undefined;
  const sshAgent = async () => {
    agent ??= openSshAgent("default", keys ?? []);
    return (await agent).socket;
  };
  const open = once(async () => {
    const authorization = await gitAuthorization(url, options.secrets);
    const more = keys && { sshAgent };
    return await remote.repository({ remote: url, ref, checksum, authorization, signal, ...more });
  });
  const files = once(async (): Promise<CopyFiles> => {
    const checkout = await (await open()).checkout();
    // As BuildKit has it: there is none in a part of the repository.
    const git = keepGitDir && folder === undefined ? await gitDirectory(checkout) : undefined;
    const tree = new GitTree(`the git repository ${url}`, checkout, git);
    const found = await resolveIn(tree, toBytes(folder ?? ""));
    if (found?.node.type === "directory") return { tree, matches: [{ ...found, name: "" }] };
    throw new UsageError(`${folder} is not a folder of ${tree.name}`);
  });
  return {
    key: async () => stepKey(["git", await (await open()).commit(), folder, keepGitDir && [url, ref]]),
    files,
    async [Symbol.asyncDispose]() {
      await (await open().catch(() => undefined))?.[Symbol.asyncDispose]();
      await (await agent?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** As BuildKit names them: `GIT_AUTH_TOKEN` or `GIT_AUTH_HEADER`, also with the host behind it. They are for HTTPS. */
async function gitAuthorization(
  url: string,
  secrets: Readonly<Record<string, SecretSource>>,
): Promise<string | undefined> {
  const host = URL.canParse(url) ? new URL(url).host : "";
  for (const kind of ["HEADER", "TOKEN"]) {
    const id = [`GIT_AUTH_${kind}.${host}`, `GIT_AUTH_${kind}`].find((each) => secrets[each]);
    const source = id === undefined ? undefined : secrets[id];
    if (id === undefined || !source) continue;
    const value = (await readSecret(id, source)).toString().trim();
    return kind === "HEADER" ? value : `Basic ${Buffer.from(`x-access-token:${value}`).toString("base64")}`;
  }
  return undefined;
}

function parseUrl(text: string): URL {
  if (URL.canParse(text)) return new URL(text);
  throw new UsageError(`${text} is no URL`);
}

/** @throws UsageError when the URL names no file */
function nameOf({ pathname, href }: URL): string {
  const path = decoded(pathname);
  const name = path?.split("/").findLast((each) => each !== "") ?? "";
  if (name !== "" && name !== "." && name !== ".." && !name.includes("\0")) return name;
  throw new UsageError(`${href} names no file`, { hint: "The last part of a URL's path is the file's name." });
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}
