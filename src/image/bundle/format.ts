import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { CacheInvalidError } from "../../errors.js";
import { isDigest } from "../../oci/index.js";

/** What makes a snapshot's folder a bundle. */
export const BUNDLE_FILE = "bundle.json";
/** Where a bundle keeps what a snapshot in the store only refers to. */
export const PLACES = {
  ram: "template/ram.img",
  templateState: "template/device.state",
  layers: "layers",
  kernel: "kernel",
} as const;
/** What to do about a bundle that is damaged. */
export const COPY_AGAIN =
  "Copy the whole folder again, or make the bundle anew with `supermachine bundle`; `supermachine doctor --bundle DIR` checks every byte.";

const digest = v.pipe(v.string(), v.check(isDigest, "is not a digest"));
/** Below the bundle's folder, and nowhere else. */
const path = v.pipe(
  v.string(),
  v.regex(/^(?!\.)[\w.+-]{1,100}(\/(?!\.)[\w.+-]{1,100})?$/, "is not a path in a bundle"),
);

const Bundle = v.object({
  schema: v.literal(1),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  architecture: v.picklist(["x64", "arm64"]),
  /** Version of the QEMU that it was made with: its snapshot fits no other. */
  qemu: v.string(),
  kernel: v.object({ name: v.string(), digest: v.string(), path }),
  initramfs: path,
  /** Everything else in the folder. */
  files: v.pipe(
    v.array(v.object({ path, bytes: v.pipe(v.number(), v.integer(), v.minValue(0)), digest })),
    v.maxLength(1_000),
  ),
});

/** `bundle.json`: what a bundle consists of, and what runs it. */
export type Bundle = v.InferOutput<typeof Bundle>;
export type BundleFile = Bundle["files"][number];

/**
 * Reads what the bundle in `folder` consists of; `undefined` where there is none.
 * @throws CacheInvalidError when that is damaged
 */
export async function readBundle(folder: string): Promise<Bundle | undefined> {
  const file = join(folder, BUNDLE_FILE);
  try {
    return v.parse(Bundle, JSON.parse(await readFile(file, "utf8")));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "EACCES") {
      throw new CacheInvalidError(`the bundle's ${file} may not be read`, { cause, hint: "Look at its permissions." });
    }
    throw new CacheInvalidError(`the bundle's ${file} is damaged or of another version`, { cause, hint: COPY_AGAIN });
  }
}
