import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import type { BuildOptions } from "../../src/index.js";

/** What the process does, and where it dies. */
export interface BuildOrder {
  options: BuildOptions;
  /** It is killed before or after the `nth` time that something is renamed to a path that the pattern matches. */
  crash?: { pattern: string; nth: number; when: "before" | "after" };
}

// A process that builds, for tests that end it in the middle. usage: build-child.ts ORDER-AS-JSON
const { options, crash } = JSON.parse(process.argv[2] ?? "") as BuildOrder;
const die = () => process.kill(process.pid, "SIGKILL");

if (crash) {
  const rename = fs.rename;
  let count = 0;
  fs.rename = async (from, to) => {
    const isThere = new RegExp(crash.pattern).test(String(to)) && ++count === crash.nth;
    if (isThere && crash.when === "before") die();
    await rename(from, to);
    if (isThere) die();
  };
  syncBuiltinESMExports();
}
const { exportBuild, buildImage } = await import("../../src/index.js");
const onBuild: BuildOptions["onBuild"] = (event) => {
  if (event.kind === "output") process.send?.(Buffer.from(event.bytes).toString());
};
if (crash) await exportBuild({ ...options, onBuild, outputs: [{ type: "tar", dest: `${options.context}.tar` }] });
else await buildImage({ ...options, onBuild });
