/** What runc and crun are told of a container whose root is the folder `rootfs` of its bundle. */
export function containerConfig(args: readonly string[]): object {
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
