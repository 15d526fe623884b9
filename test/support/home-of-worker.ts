import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { home } from "../../src/index.js";
import { tryAcquireLock } from "../../src/store/index.js";

/**
 * Set-up of the tests with machines. Two files run at a time: each has a home to itself, so that what a test finds left behind
 * there is its own, and so that templates are made once for each home and not for each file. A process that ends late keeps
 * its home until then. The assets are made once for all.
 */
const { root, assets } = home();
export const { own, lock } = await freeHome();
mkdirSync(assets, { recursive: true });
mkdirSync(own, { recursive: true });
try {
  symlinkSync(assets, join(own, "assets"));
} catch (error) {
  // An earlier file in this home made it.
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
process.env.SUPERMACHINE_HOME = own;

async function freeHome() {
  mkdirSync(root, { recursive: true });
  for (let number = 1; ; number++) {
    const own = join(root, `worker-${number}`);
    const lock = await tryAcquireLock(`${own}.in-use`);
    // Held until this process ends.
    if (lock) return { own, lock };
  }
}
