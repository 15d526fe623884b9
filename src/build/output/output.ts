import { UsageError } from "../../errors.js";

const TYPES = ["oci", "docker", "tar", "local", "erofs"] as const;

/**
 * What a build is written as: an OCI layout, the archive of `docker load`, all files of the image as a tar archive, in a folder, or as an
 * EROFS image.
 */
export interface BuildOutput {
  type: (typeof TYPES)[number];
  /** The file, or the folder of `local` and of a layout. */
  dest: string;
  /** Of `oci`: whether it is one tar file (default) or a folder. */
  tar?: boolean | undefined;
  /** Of `oci` and `docker`: all layers as one. */
  squash?: boolean | undefined;
}

/** Parses what `--output` takes: `type=oci,dest=app.tar` with `tar=false` and `squash=true`; a path alone is a folder. @throws UsageError */
export function parseBuildOutput(text: string): BuildOutput {
  const fail = (why: string) =>
    new UsageError(`--output ${text}: ${why}`, { hint: "Write type=oci|docker|tar|local|erofs,dest=PATH." });
  if (text !== "" && !text.includes("=")) return checked({ type: "local", dest: text }, fail);
  const fields = new Map<string, string>();
  for (const field of text.split(",")) {
    const [, key, value] = /^(type|dest|tar|squash)=(.+)$/.exec(field) ?? [];
    if (key === undefined || value === undefined) throw fail(`${JSON.stringify(field)} is no setting of an output`);
    if (fields.has(key)) throw fail(`${key} is given twice`);
    fields.set(key, value);
  }
  const type = TYPES.find((each) => each === fields.get("type"));
  if (type === undefined) throw fail(`its type is none of ${TYPES.join(", ")}`);
  const flag = (key: string): boolean | undefined => {
    const value = fields.get(key);
    if (value === undefined || value === "true" || value === "false")
      return value === undefined ? undefined : value === "true";
    throw fail(`${key} is true or false`);
  };
  return checked({ type, dest: fields.get("dest") ?? "", tar: flag("tar"), squash: flag("squash") }, fail);
}

function checked(output: BuildOutput, fail: (why: string) => UsageError): BuildOutput {
  const { type, dest, tar, squash } = output;
  if (dest === "" || dest === "-") throw fail("it needs the path of a file or folder as dest");
  if (tar !== undefined && type !== "oci") throw fail("tar is a setting of the type oci");
  if (squash !== undefined && type !== "oci" && type !== "docker") throw fail(`the type ${type} has no layers`);
  return output;
}
