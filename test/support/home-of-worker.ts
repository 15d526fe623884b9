import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { home } from "../../src/index.js";

/**
 * Set-up of the tests with machines. Two files run at a time: each worker has a home to itself, so that what a test finds
 * left behind there is its own. The assets are made once for all.
 */
const { root, assets } = home();
const own = join(root, `worker-${process.env.VITEST_POOL_ID}`);
mkdirSync(assets, { recursive: true });
mkdirSync(own, { recursive: true });
try {
  symlinkSync(assets, join(own, "assets"));
} catch (error) {
  // An earlier file of this worker made it.
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
process.env.SUPERMACHINE_HOME = own;
