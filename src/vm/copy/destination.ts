import { posix } from "node:path";

/** What is copied: a folder as such, what a folder holds (`FOLDER/.`), or anything else. */
export interface CopiedThing {
  kind: "folder" | "contents" | "file";
  /** Its own name. */
  name: string;
}

/** What is at the destination already. */
export type Present = "folder" | "file" | "nothing";

/** Makes the error of a copy that cannot go there: `errno` says why. */
export type Refuse = (errno: "ENOENT" | "ENOTDIR", message: string, hint?: string) => Error;

/**
 * What the copy becomes, by docker cp's rules: in a folder that is there it gets its own name, except for the contents of a folder, which
 * are put into that one; otherwise it gets the destination's name. Throws what `refuse` makes when it cannot go there.
 */
export function copyDestination({ kind, name }: CopiedThing, path: string, present: Present, refuse: Refuse): string {
  const wantsFolder = /\/\.?$/.test(path);
  const place = posix.normalize(path).replace(/(.)\/$/, "$1");
  if (present === "folder") return kind === "contents" ? place : posix.join(place, name);
  if (present === "file" && kind !== "file") {
    throw refuse("ENOTDIR", `${path} is no folder, so none can be copied there`);
  }
  if (present === "file" && wantsFolder) throw refuse("ENOTDIR", `${path} is no folder`);
  if (present === "nothing" && kind === "file" && wantsFolder) {
    throw refuse(
      "ENOENT",
      `there is no folder ${path}`,
      "Make it first, or leave the slash out to give the copy that name.",
    );
  }
  return place;
}
