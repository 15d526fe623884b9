import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AssetsError } from "../errors.js";

/** What the guest needs that Debian's cloud kernel does not have built in. Dependencies are added by themselves. */
const WANTED = ["virtio_pci", "virtio_console", "virtio_scsi", "sd_mod", "erofs", "overlay", "fuse", "veth", "ext4"];
/** Loaded where the kernel has them; nothing depends on them. */
const OPTIONAL = ["virtio_balloon"];

/** Module files below `folder` (a /lib/modules/VERSION), each after the ones it depends on. */
export async function modulesInOrder(folder: string): Promise<string[]> {
  const files = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true })) {
    const match = /([^/]+)\.ko(\.xz|\.zst|\.gz)?$/.exec(entry);
    if (match?.[1]) files.set(canonical(match[1]), join(folder, entry));
  }
  const builtin = await readFile(join(folder, "modules.builtin"), "utf8");
  const isBuiltin = (name: string) => builtin.split("\n").some((line) => canonical(basename(line, ".ko")) === name);

  const ordered: string[] = [];
  const add = async (name: string, optional: boolean): Promise<void> => {
    const path = files.get(name);
    if (path === undefined) {
      if (optional || isBuiltin(name)) return;
      throw new AssetsError(`the kernel in ${folder} has no module ${name}`, {
        hint: "It is not a Debian cloud kernel.",
      });
    }
    if (ordered.includes(path)) return;
    for (const dependency of await dependencies(path)) await add(dependency, false);
    ordered.push(path);
  };
  for (const name of WANTED) await add(name, false);
  for (const name of OPTIONAL) await add(name, true);
  return ordered;
}

/** Reads `depends=` out of a module's .modinfo section, a list of NUL-terminated `key=value` strings. */
async function dependencies(path: string): Promise<string[]> {
  const content = (await readFile(path)).toString("latin1");
  const list = /\0depends=([^\0]*)\0/.exec(content)?.[1] ?? "";
  return list.split(",").filter(Boolean).map(canonical);
}

function canonical(name: string): string {
  return name.replaceAll("-", "_");
}
