import { statSync } from "node:fs";
import { isAbsolute, posix, resolve } from "node:path";
import { UsageError } from "../errors.js";

/** A volume that a microVM shall have: one of the store by its `name`, or any `file`. */
export interface VolumeOptions {
  /** Letters, digits, dots, dashes and underscores. It is made when there is none of that name. */
  name?: string | undefined;
  /** Path of an image file with ext4, made when it is not there; a relative one starts at the working directory. */
  file?: string | undefined;
  /** Where it is in the guest: an absolute path. */
  guest: string;
  /** The guest cannot change it; any number of VMs can have it at a time, while nobody writes to it. */
  readOnly?: boolean | undefined;
  /** Its size when it is made, 1024 by default. A larger number than it has makes it grow. */
  sizeMiB?: number | undefined;
}

/** Options that have been checked. */
export interface VolumePlan {
  /** How messages call it. */
  label: string;
  name: string | undefined;
  file: string | undefined;
  guest: string;
  readOnly: boolean;
  sizeMiB: number | undefined;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$/;
/** Below this ext4 has no room for its journal. */
const LEAST_MIB = 16;
const MOST_MIB = 16 * 2 ** 20;

/** @throws UsageError */
export function checkVolumeName(name: string): string {
  if (NAME.test(name) && !/\.(lock|partial|img)$/.test(name)) return name;
  throw new UsageError(`${JSON.stringify(name)} cannot be a volume's name`, {
    hint: "A name has letters, digits, dots, dashes and underscores, and starts with a letter or digit.",
  });
}

/** @throws UsageError */
export function checkSize(sizeMiB: number): number {
  if (Number.isInteger(sizeMiB) && sizeMiB >= LEAST_MIB && sizeMiB <= MOST_MIB) return sizeMiB;
  throw new UsageError(`a volume of ${sizeMiB} MiB: the size is a whole number from ${LEAST_MIB} to ${MOST_MIB}`);
}

/** @throws UsageError */
export function checkVolumes(volumes: readonly VolumeOptions[]): VolumePlan[] {
  const plans = volumes.map(checkVolume);
  for (const key of ["label", "guest"] as const) {
    if (new Set(plans.map((plan) => plan[key])).size === plans.length) continue;
    throw new UsageError(key === "guest" ? "two volumes are to be at the same place" : "a volume is named twice");
  }
  return plans;
}

function checkVolume({ name, file, guest, readOnly = false, sizeMiB }: VolumeOptions): VolumePlan {
  if ((name === undefined) === (file === undefined)) throw new UsageError("a volume has either a name or a file");
  if (name !== undefined) checkVolumeName(name);
  if (file !== undefined && (file === "" || file.includes("\0"))) {
    throw new UsageError(`${JSON.stringify(file)} is no path of a volume's file`);
  }
  const place = posix.normalize(guest).replace(/(.)\/$/, "$1");
  if (!guest.startsWith("/") || place === "/" || guest.includes("\0") || Buffer.byteLength(guest) > 4095) {
    throw new UsageError(`${JSON.stringify(guest)} is no place for a volume: it is an absolute path, and not /`);
  }
  if (sizeMiB !== undefined) checkSize(sizeMiB);
  const path = file === undefined ? undefined : resolve(file);
  return { label: name ?? path ?? "", name, file: path, guest: place, readOnly, sizeMiB };
}

/**
 * Parses `NAME:GUEST[:ro]` or `FILE:GUEST[:ro]`, FILE having a slash. Gives undefined when that is a folder: then it is no volume, but to be
 * mounted, as docker's `--volume` does. @throws UsageError
 */
export function parseVolume(text: string): VolumeOptions | undefined {
  const [source, guest, ...flags] = text.split(":");
  if (!source || !guest?.startsWith("/")) {
    throw new UsageError(`${JSON.stringify(text)} is not of the form NAME:GUEST[:ro] or FILE:GUEST[:ro]`, {
      hint: "GUEST is an absolute path.",
    });
  }
  const isPath = isAbsolute(source) || source.includes("/") || source === "." || source === "..";
  if (isPath && statSync(source, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const rest = flags.flatMap((each) => each.split(","));
  const unknown = rest.find((each) => each !== "ro" && each !== "rw");
  if (unknown !== undefined)
    throw new UsageError(`${JSON.stringify(unknown)} in ${JSON.stringify(text)} is none of ro, rw`);
  const readOnly = rest.length === 0 ? {} : { readOnly: rest.at(-1) === "ro" };
  return { ...(isPath ? { file: source } : { name: checkVolumeName(source) }), guest, ...readOnly };
}
