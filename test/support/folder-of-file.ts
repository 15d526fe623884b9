import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const folders: string[] = [];

afterAll(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A new folder that is removed when all tests of the file are over. */
export function folderOfFile(): string {
  const path = mkdtempSync(join(tmpdir(), "supermachine-test-"));
  folders.push(path);
  return path;
}
