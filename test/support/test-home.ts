import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import { home } from "../../src/index.js";

/**
 * A home folder of a test's own, with the suite's assets and templates, or with less; it is in use until it is disposed of.
 */
export function freshHome(
  parts: readonly ("assets" | "templates")[] = ["assets", "templates"],
): Disposable & { path: string } {
  const shared = home();
  const path = mkdtempSync(join(tmpdir(), "supermachine-home-"));
  for (const name of parts) {
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
