import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./layer-fixture.js";

/** Whether this process may make devices, give files away and set every attribute, as {@link everyKindTar} must. */
export function canMakeEveryKind(): boolean {
  return succeeds((folder) => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    execFileSync("chown", ["1:1", file], { stdio: "ignore" });
    execFileSync("setfattr", ["-n", "trusted.probe", "-v", "x", file], { stdio: "ignore" });
    execFileSync("mknod", [join(folder, "device"), "c", "1", "3"], { stdio: "ignore" });
  });
}

/** Whether this process may mount images, and the host's kernel knows EROFS and overlayfs. */
export function canMountLayers(): boolean {
  const known = readFileSync("/proc/filesystems", "latin1");
  if (!/\berofs\b/.test(known) || !/\boverlay\b/.test(known) || !existsSync("/dev/loop-control")) return false;
  return succeeds((folder) => {
    const mounted = join(folder, "mounted");
    mkdirSync(mounted);
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", mounted], { stdio: "ignore" });
    execFileSync("umount", [mounted], { stdio: "ignore" });
  });
}

function succeeds(attempt: (folder: string) => void): boolean {
  using folder = temporaryFolder();
  try {
    attempt(folder.path);
    return true;
  } catch {
    return false;
  }
}
