import { NetworkError } from "../../errors.js";

/** What a folder of a repository has under a name. */
export interface GitEntry {
  kind: "file" | "executable" | "link" | "folder" | "submodule";
  oid: string;
}

const KINDS: Readonly<Record<string, GitEntry["kind"]>> = {
  "40000": "folder",
  "100644": "file",
  "100664": "file",
  "100755": "executable",
  "120000": "link",
  "160000": "submodule",
};
const OID_SIZE = 20;

/** What a commit says of itself. */
export interface GitCommit {
  tree: string;
  /** Seconds since 1970, when it was committed. */
  timeSeconds: number;
}

/** @throws NetworkError when it is malformed */
export function parseCommit(content: Buffer): GitCommit {
  const [, tree] = /^tree ([0-9a-f]{40})\n/.exec(content.toString("latin1", 0, 64)) ?? [];
  const end = content.indexOf("\n\n");
  const [, time] =
    /^committer .* (\d{1,12}) [-+]\d{4}$/m.exec(content.toString("latin1", 0, end < 0 ? undefined : end)) ?? [];
  if (tree === undefined) throw new NetworkError("the git repository has a malformed commit");
  return { tree, timeSeconds: Number(time ?? 0) };
}

/**
 * Reads a folder; names have one character per byte.
 * @throws NetworkError when it is malformed, or has a name that would lead elsewhere
 */
export function parseTree(content: Buffer): Map<string, GitEntry> {
  const entries = new Map<string, GitEntry>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, space);
    if (space < 0 || end < 0 || end + OID_SIZE >= content.length) throw malformed("a malformed folder");
    const kind = KINDS[content.toString("latin1", at, space)];
    const name = content.toString("latin1", space + 1, end);
    if (!kind) throw malformed(`a file of an unknown kind: ${JSON.stringify(name)}`);
    // Git itself writes none of these, and its checks refuse them.
    if (name === "" || name.includes("/") || /^(?:\.{1,2}|\.git)$/i.test(name) || entries.has(name)) {
      throw malformed(`a file with the name ${JSON.stringify(name)}, which leads elsewhere`);
    }
    at = end + 1 + OID_SIZE;
    entries.set(name, { kind, oid: content.toString("hex", end + 1, at) });
  }
  return entries;
}

function malformed(what: string): NetworkError {
  return new NetworkError(`the git repository has ${what}`);
}
