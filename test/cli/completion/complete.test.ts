import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { complete } from "../../../src/cli/completion/complete.js";
import { program } from "../../../src/cli/program.js";
import { putSnapshot } from "../../image/metadata-fixture.js";
import { temporaryFolder } from "../../support/layer-fixture.js";

let home: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  home = temporaryFolder();
  vi.stubEnv("SUPERMACHINE_HOME", home.path);
  putSnapshot(join(home.path, "snapshots"), "python");
  putSnapshot(join(home.path, "snapshots"), "postgres");
  putVm("web", "exited");
});
afterEach(() => {
  vi.unstubAllEnvs();
  home[Symbol.dispose]();
});

/** The record of a VM that ended. */
function putVm(name: string, status: string): void {
  const folder = join(home.path, "vms", name);
  mkdirSync(folder, { recursive: true });
  const record = {
    ...{ schema: 1, name, image: "nginx", reference: "nginx", snapshotPath: "/s", memoryMiB: 256, vcpus: 1 },
    ...{ command: ["x"], labels: {}, remove: false, graceMs: 1, status, pid: 1, createdAt: "2026-01-02T03:04:05.678Z" },
    ...{ restarts: 0, exitCode: 0, endedAt: "2026-01-02T03:04:05.678Z" },
  };
  writeFileSync(join(folder, "record.json"), JSON.stringify(record));
}

/** What completes the last word of a line; a space at its end begins a new one. */
async function completions(line: string): Promise<string[]> {
  const words = line.split(" ");
  const { candidates, files } = await complete(await program(words), words);
  return [...candidates.map(({ value }) => value), ...(files ? [":files"] : [])];
}

describe("what is completed", () => {
  test.each([
    ["ru", ["run"]],
    ["in", ["inspect"]],
    ["volume cr", ["create"]],
    ["volume c", ["create"]],
    ["nonsense ", []],
    ["run --vc", ["--vcpus"]],
    ["run --pull ", ["missing", "always", "never"]],
    ["run --pull n", ["never"]],
    ["run --pull=a", ["--pull=always"]],
    ["run --memory ", []],
    ["run -m ", []],
    ["run -it --pull nev", ["never"]],
    ["run po", ["postgres"]],
    ["run --name x p", ["postgres", "python"]],
    ["run python ", []],
    ["run python --vc", []],
    ["run python -- --vc", []],
    ["run ./", [":files"]],
    ["rmi postgres py", ["python"]],
    ["save p", ["postgres", "python"]],
    ["save python --output ", [":files"]],
    ["bundle --image py", ["python"]],
    ["bundle --into ", [":files"]],
    ["logs ", ["web"]],
    ["rm w", ["web"]],
    ["stop w", []],
    ["completion ", ["bash", "zsh", "fish"]],
    ["help ru", []],
  ])("%j: %j", async (line, expected) => {
    expect(await completions(line)).toEqual(expected);
  });

  test("all commands, with what they do", async () => {
    const { candidates } = await complete(await program([""]), [""]);
    expect(candidates).toContainEqual({ value: "ps", about: "list the VMs that run in the background" });
  });

  test("every option of a command, also after others", async () => {
    const found = await completions("run --vcpus 2 --");
    expect(found).toEqual(expect.arrayContaining(["--memory", "--vcpus", "--help", "--publish"]));
    expect(found.every((each) => each.startsWith("--"))).toBe(true);
  });
});
