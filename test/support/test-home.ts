import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import { home } from "../../src/index.js";

/** A home folder of a test's own, with the suite's assets and templates; it is in use until it is disposed of. */
export function freshHome(): Disposable & { path: string } {
  const shared = home();
  const path = mkdtempSync(join(tmpdir(), "supermachine-home-"));
  for (const name of ["assets", "templates"] as const) {
    mkdirSync(shared[name], { recursive: true });
    symlinkSync(shared[name], join(path, name));
  }
  vi.stubEnv("SUPERMACHINE_HOME", path);
  return {
    path,
    [Symbol.dispose]() {
      vi.unstubAllEnvs();
      rmSync(path, { recursive: true, force: true });
    },
  };
}
