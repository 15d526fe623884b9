import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";

/** Unpacks an OCI layout's image of the tag `latest` as a bundle for runc and crun (Debian package umoci) that runs `args`. */
export async function unpackBundle(layout: string, bundle: string, args: readonly string[]): Promise<void> {
  await execa("umoci", ["unpack", "--image", `${layout}:latest`, bundle]);
  configureBundle(bundle, args);
}

/** Says what the next container of the bundle runs. */
export function configureBundle(bundle: string, args: readonly string[]): void {
  writeFileSync(join(bundle, "config.json"), JSON.stringify(containerConfig(args)));
}

/** What runc and crun are told of a container whose root is the folder `rootfs` of its bundle. */
function containerConfig(args: readonly string[]): object {
  const namespaces = ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type }));
  return {
    ociVersion: "1.0.2",
    process: { terminal: false, user: { uid: 0, gid: 0 }, args, env: ["PATH=/bin:/usr/bin"], cwd: "/" },
    root: { path: "rootfs", readonly: false },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    ],
    linux: { namespaces },
  };
}
