import type { CopyRequest } from "./steps/index.js";

/** The step that takes all files of a source. @param chown whose they are then; by default as COPY and ADD have it */
export function wholeCopy(kind: "copy" | "add", source: string, chown?: string): CopyRequest {
  return {
    kind,
    chown,
    chmod: undefined,
    checksum: undefined,
    parents: false,
    exclude: [],
    from: undefined,
    sources: [source],
    documents: [],
    destination: "/",
    keepGitDir: false,
    unpack: true,
  };
}
