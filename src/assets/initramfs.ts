import { createHash } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { produceOnce } from "../store/index.js";
import { type CpioEntry, cpio } from "./cpio.js";

const FOLDER = 0o040755;
const FILE = 0o100644;
const PROGRAM = 0o100755;

/** The guest's first root, below `folder`: the agent as /init, and the modules with the order to load them in. */
export async function ensureInitramfs(folder: string, agent: string, modules: readonly string[]): Promise<string> {
  const content = cpio([
    { path: "dev", mode: FOLDER },
    { path: "init", mode: PROGRAM, content: await readFile(agent) },
    { path: "modules", mode: FOLDER },
    { path: "modules/order", mode: FILE, content: Buffer.from(modules.map((each) => `${basename(each)}\n`).join("")) },
    ...(await Promise.all(modules.map(async (path) => moduleEntry(path)))),
  ]);
  const digest = createHash("sha256").update(content).digest("hex");
  const path = join(folder, `initramfs-${digest.slice(0, 16)}.cpio`);
  return produceOnce(path, {
    find: async () => ((await sizeOf(path)) === content.length ? path : undefined),
    make: (partial) => writeFile(partial, content),
  });
}

async function moduleEntry(path: string): Promise<CpioEntry> {
  return { path: `modules/${basename(path)}`, mode: FILE, content: await readFile(path) };
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => -1,
  );
}
