import { statSync } from "node:fs";
import { posix, resolve } from "node:path";
import { UsageError } from "../errors.js";

/**
 * What becomes of symbolic links in a folder. `opaque`: the guest sees them as links and resolves them by itself, in its own file
 * system. `follow`: the guest sees what they lead to, as long as that is in the folder. `deny`: they can neither be read nor made.
 */
export type SymlinkPolicy = "deny" | "opaque" | "follow";

const POLICIES: readonly SymlinkPolicy[] = ["deny", "opaque", "follow"];

/** A folder of the host that a microVM shall see. */
export interface MountOptions {
  /** The folder; a relative path starts at the working directory. */
  host: string;
  /** Where it is in the guest: an absolute path. Missing folders are made. */
  guest: string;
  /** The guest cannot change anything in it. */
  readOnly?: boolean | undefined;
  /** `opaque` by default. */
  symlinks?: SymlinkPolicy | undefined;
  /** Whose its files are in the guest: `name`, `uid`, `name:group` or `uid:gid`; by default the user as whom the image runs. */
  owner?: string | undefined;
}

/** Options that have been checked; `host` is absolute. */
export type Mount = Required<{ [Key in keyof MountOptions]: NonNullable<MountOptions[Key]> }>;

/** @throws UsageError when the folder is not there or the options make no sense */
export function checkMounts(mounts: readonly MountOptions[], defaultOwner: string): Mount[] {
  const checked = mounts.map((each) => checkMount(each, defaultOwner));
  const places = new Set(checked.map(({ guest }) => guest));
  if (places.size < checked.length)
    throw new UsageError("two folders are to be mounted at the same place in the guest");
  // One that is within another comes after it.
  return checked.sort((a, b) => a.guest.length - b.guest.length);
}

function checkMount(options: MountOptions, defaultOwner: string): Mount {
  const { host, guest, readOnly = false, symlinks = "opaque", owner = defaultOwner } = options;
  if (host === "" || host.includes("\0"))
    throw new UsageError(`${JSON.stringify(host)} is no path of a folder to mount`);
  const place = posix.normalize(guest).replace(/(.)\/$/, "$1");
  if (!guest.startsWith("/") || place === "/" || guest.includes("\0") || Buffer.byteLength(guest) > 4095) {
    throw new UsageError(
      `${JSON.stringify(guest)} is no place to mount a folder at: it is an absolute path, and not /`,
    );
  }
  if (!POLICIES.includes(symlinks)) throw new UsageError(`symlinks is ${symlinks}; it can be ${POLICIES.join(", ")}`);
  const folder = resolve(host);
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) {
    throw new UsageError(`${folder} cannot be mounted: ${stats ? "it is no folder" : "there is no such folder"}`, {
      hint: "Only folders can be mounted; a single file can be written with vm.writeFile.",
    });
  }
  return { host: folder, guest: place, readOnly, symlinks, owner };
}

/** Parses `HOST:GUEST[:OPTION...]`, the options being `ro`, `rw` and the policies for symbolic links. @throws UsageError */
export function parseMount(text: string): MountOptions {
  const [host, guest, ...flags] = text.split(":");
  if (!host || !guest?.startsWith("/")) {
    throw new UsageError(`${JSON.stringify(text)} is not of the form HOST:GUEST[:ro][:deny|opaque|follow]`, {
      hint: "GUEST is an absolute path.",
    });
  }
  const mount: MountOptions = { host, guest };
  for (const flag of flags.flatMap((each) => each.split(","))) {
    const policy = POLICIES.find((each) => each === flag);
    if (policy) mount.symlinks = policy;
    else if (flag === "ro" || flag === "rw") mount.readOnly = flag === "ro";
    else
      throw new UsageError(
        `${JSON.stringify(flag)} in ${JSON.stringify(text)} is none of ro, rw, ${POLICIES.join(", ")}`,
      );
  }
  return mount;
}
