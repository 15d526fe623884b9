import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { type Architecture, qemuBinary } from "../engine/index.js";
import { AssetsError } from "../errors.js";
import { installHint } from "./packages.js";
import { runProgram } from "./run-program.js";

/** The oldest QEMU the device model was proven on. */
const MINIMUM = [7, 2] as const;
const VERSION_TIMEOUT_MS = 20_000;

/** A QEMU that was found. `version` includes the distribution's suffix: a rebuild may change the device state. */
export interface QemuBinary {
  path: string;
  version: string;
}

/** Path of QEMU: `SUPERMACHINE_QEMU`, else the first one on the PATH; `undefined` when there is none. */
export async function locateQemu(architecture: Architecture): Promise<string | undefined> {
  const chosen = process.env.SUPERMACHINE_QEMU;
  if (chosen) {
    if (await isExecutable(chosen)) return chosen;
    throw new AssetsError(`SUPERMACHINE_QEMU names ${chosen}, which cannot be executed`);
  }
  return findProgram(qemuBinary(architecture));
}

/** Asks a QEMU for its version. @throws AssetsError when it does not answer or is too old. */
export async function inspectQemu(path: string): Promise<QemuBinary> {
  const { stdout } = await runProgram(path, ["--version"], { timeout: VERSION_TIMEOUT_MS }).catch((cause: unknown) => {
    throw new AssetsError(`${path} does not tell its version`, { cause, hint: "Is it a working QEMU?" });
  });
  const match = /version (\d+)\.(\d+)\S*(?: \(([^)]*)\))?/.exec(stdout);
  if (!match)
    throw new AssetsError(`${path} does not look like QEMU: it printed ${JSON.stringify(stdout.slice(0, 80))}`);
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
    throw new AssetsError(`${path} is QEMU ${major}.${minor}, older than ${MINIMUM.join(".")}`, {
      hint: installHint(),
    });
  }
  return { path, version: match[0].replace(/^version /, "") };
}

/** The first executable of this name on the PATH. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder && (await isExecutable(path))) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  // A folder can be "executed" too.
  return Promise.all([stat(path), access(path, constants.X_OK)]).then(
    ([facts]) => facts.isFile(),
    () => false,
  );
}
