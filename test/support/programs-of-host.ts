import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Copies programs of this machine with the libraries that they need into a folder, for a guest with the same libc. */
export function copyPrograms(folder: string, ...names: string[]): void {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const path = execFileSync("sh", ["-c", 'command -v "$1"', "sh", name], { encoding: "utf8" }).trim();
    const needed = execFileSync("ldd", [path], { encoding: "utf8" }).matchAll(/=> (\/\S+)/g);
    for (const file of [path, ...[...needed].map(([, library]) => library!)]) {
      copyFileSync(file, join(folder, basename(file)));
    }
  }
}

/** The folder of the npm that belongs to this machine's node. */
export function npmFolder(): string {
  const path = execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim();
  return dirname(dirname(realpathSync(path)));
}
