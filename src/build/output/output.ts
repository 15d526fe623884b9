import { UsageError } from "../../errors.js";

const TYPES = ["oci", "docker", "tar", "local", "squashfs", "erofs"] as const;
/** As the destination: standard output. */
export const STDOUT = "-";

/**
 * What a build is written as: an OCI layout, the archive of `docker load`, all files of the image as a tar archive, in a folder, or as a
 * squashfs or EROFS image.
 */
export interface BuildOutput {
  type: (typeof TYPES)[number];
  /** The file, or the folder of `local` and of a layout; `-` writes a file to standard output. */
  dest: string;
  /** Of `oci`: whether it is one tar file (default) or a folder. */
  tar?: boolean | undefined;
  /** Of `oci` and `docker`: all layers as one. */
  squash?: boolean | undefined;
}

/**
 * Parses what `--output` takes: `type=oci,dest=app.tar` with `tar=false` and `squash=true`. As with docker a path alone is a folder, `-` alone a
 * tar archive to standard output, and an archive without a destination goes there too.
 * @throws UsageError
 */
export function parseBuildOutput(text: string): BuildOutput {
  const fail = (why: string) =>
    new UsageError(`--output ${text}: ${why}`, { hint: `Write type=${TYPES.join("|")},dest=PATH.` });
  if (text === STDOUT) return { type: "tar", dest: STDOUT };
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
  const byDefault = type === "tar" || type === "oci" ? STDOUT : "";
  return checked({ type, dest: fields.get("dest") ?? byDefault, tar: flag("tar"), squash: flag("squash") }, fail);
}

function checked(output: BuildOutput, fail: (why: string) => UsageError): BuildOutput {
  const { type, dest, tar, squash } = output;
  if (dest === "") throw fail("it needs the path of a file or folder as dest");
  if (dest === STDOUT && (type === "local" || tar === false)) throw fail("a folder cannot go to standard output");
  if (tar !== undefined && type !== "oci") throw fail("tar is a setting of the type oci");
  if (squash !== undefined && type !== "oci" && type !== "docker") throw fail(`the type ${type} has no layers`);
  return output;
}
