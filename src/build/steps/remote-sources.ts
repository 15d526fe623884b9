import { createReadStream } from "node:fs";
import { UsageError } from "../../errors.js";
import { once } from "../../once.js";
import type { DownloadOptions, Remote } from "../../remote/index.js";
import { stepKey } from "../cache.js";
import { filesTree } from "../tree/index.js";
import type { CopySource } from "./copy-sources.js";

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
