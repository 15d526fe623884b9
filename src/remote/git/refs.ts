import { NetworkError, UsageError } from "../../errors.js";
import { PacketReader } from "./pkt-line.js";

/** A million refs; no repository has as many. */
const MOST_BYTES = 128 * 1024 * 1024;
const OID = /^[0-9a-f]{40}$/;

/** What a repository says that it has. */
export interface Refs {
  /** What names stand for: commits, or objects of annotated tags. */
  names: ReadonlyMap<string, string>;
  /** The commits of annotated tags, by the tags' names. */
  peeled: ReadonlyMap<string, string>;
  capabilities: ReadonlySet<string>;
}

/** What is asked for to get a commit. */
export interface Wanted {
  commit: string;
  /** The commit, or the tag that names it. */
  object: string;
  /** The full name that it was found by, if it was one. */
  ref: string | undefined;
}

/** Reads what a server says that it has. @throws NetworkError */
export async function readRefs(source: AsyncIterable<Buffer>): Promise<Refs> {
  const reader = new PacketReader(source);
  const [names, peeled] = [new Map<string, string>(), new Map<string, string>()];
  let capabilities: ReadonlySet<string> | undefined;
  let bytes = 0;
  for (;;) {
    const packet = await reader.next();
    if (packet === "flush") {
      if (capabilities) return { names, peeled, capabilities };
      // HTTP puts a section of its own before, which names the service.
      if (bytes === 0) throw new NetworkError("the git server lists no refs");
      continue;
    }
    bytes += packet.length;
    if (bytes > MOST_BYTES) throw new NetworkError("the git server lists refs without end");
    const line = packet.toString().replace(/\n$/, "");
    if (line.startsWith("# service=")) continue;
    const [entry = "", first] = line.split("\0", 2);
    capabilities ??= new Set(first?.split(" "));
    const [oid = "", name = ""] = entry.split(" ", 2);
    if (!OID.test(oid)) {
      throw new NetworkError("the git server lists something that is no SHA-1 object", {
        hint: "Repositories with SHA-256 objects are not supported.",
      });
    }
    if (name.endsWith("^{}")) peeled.set(name.slice(0, -"^{}".length), oid);
    else names.set(name, oid);
  }
}

/** Whether a text is the whole id of a commit, so that no name has to be looked up. */
export function isCommit(ref: string | undefined): ref is string {
  return ref !== undefined && OID.test(ref);
}

/** Finds a branch, a tag or a commit; a branch when there are both, as git has it. @throws UsageError when there is none */
export function findRef({ names, peeled }: Refs, ref: string | undefined): Wanted {
  if (isCommit(ref)) return { commit: ref, object: ref, ref: undefined };
  const candidates = ref === undefined ? ["HEAD"] : [ref, `refs/${ref}`, `refs/heads/${ref}`, `refs/tags/${ref}`];
  for (const name of candidates) {
    const object = names.get(name);
    if (object !== undefined) return { commit: peeled.get(name) ?? object, object, ref: name };
  }
  const what = ref === undefined ? "no commit" : `neither a branch nor a tag ${JSON.stringify(ref)}`;
  throw new UsageError(`the git repository has ${what}`, { hint: "A commit is named by all of its 40 digits." });
}
