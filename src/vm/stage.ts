import { posix } from "node:path";
import { UsageError } from "../errors.js";
import type { Agent, ExecRequest, ExtraFile } from "../guest/index.js";

/** A file that is there when a command starts; text or bytes for one that everybody may read. */
export type StagedFile = string | Uint8Array | { content: string | Uint8Array; mode?: number };

const DEFAULT_MODE = 0o644;
const FILES_MAX = 64;
/** What is sent along with the command; an OPEN holds 1 MiB, of which argv and environment want some. */
const TOGETHER_BYTES = 512 * 1024;

export function stagedFiles(files: Readonly<Record<string, StagedFile>>, cwd: string): ExtraFile[] {
  return Object.entries(files).map(([path, file]) => {
    if (path === "" || path.includes("\0")) throw new UsageError(`${JSON.stringify(path)} is no path of a file`);
    const { content, mode = DEFAULT_MODE } =
      typeof file === "string" || file instanceof Uint8Array ? { content: file } : file;
    return { path: posix.resolve(cwd, path), mode, content };
  });
}

/** Writes files beforehand where they are too many or too large to go with the command. */
export async function stageLarge(agent: Agent, request: ExecRequest, signal?: AbortSignal): Promise<ExecRequest> {
  const { files = [], ...rest } = request;
  const bytes = files.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  if (files.length <= FILES_MAX && bytes <= TOGETHER_BYTES) return request;
  const options = { user: request.user ?? "", createParents: true, ...(signal && { signal }) };
  await Promise.all(files.map(({ path, content, mode }) => agent.files.write(path, content, { ...options, mode })));
  return rest;
}
