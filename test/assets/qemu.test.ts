import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { findProgram, inspectQemu, locateQemu } from "../../src/assets/index.js";
import { AssetsError } from "../../src/errors.js";
import { temporaryFolder } from "../support/layer-fixture.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

function program(name: string, body = "", mode = 0o755): string {
  const path = join(folder.path, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, mode);
  return path;
}

describe("the version of QEMU", () => {
  test.each([
    ["QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"],
    [
      "QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.4)\nCopyright (c) Fabrice",
      "8.2.2 (Debian 1:8.2.2+ds-0ubuntu1.4)",
    ],
    ["QEMU emulator version 9.1.0\nCopyright (c)", "9.1.0"],
    ["QEMU emulator version 7.2.0-rc3", "7.2.0-rc3"],
    ["QEMU emulator version 10.0.50 (v10.0.0-1-gabc)", "10.0.50 (v10.0.0-1-gabc)"],
  ])("is read from %j", async (text, version) => {
    const path = program("qemu", `cat <<'X'\n${text}\nX`);
    expect(await inspectQemu(path)).toEqual({ path, version });
  });

  test.each(["2.12.0", "6.9.9", "7.0.0", "7.1.99"])("must not be as old as %s", async (version) => {
    const path = program("qemu", `echo "QEMU emulator version ${version}"`);
    await expect(inspectQemu(path)).rejects.toThrow(AssetsError);
    await expect(inspectQemu(path)).rejects.toThrow(/older than 7\.2/);
  });

  test("must be told: something else, nothing, a failure or no program is an error with its path", async () => {
    const others = [program("other", "echo hello"), program("mute"), program("broken", "exit 3"), "/missing/qemu"];
    for (const path of others) {
      await expect(inspectQemu(path)).rejects.toThrow(AssetsError);
      await expect(inspectQemu(path)).rejects.toThrow(path);
    }
  });
});

describe("a program", () => {
  test("is the first one on the PATH that can be executed", async () => {
    program("plain", "", 0o644);
    const tool = program("tool");
    mkdirSync(join(folder.path, "sub"));
    const second = program("sub/plain");
    vi.stubEnv("PATH", `/missing::${folder.path}:${folder.path}/sub`);
    expect(await findProgram("tool")).toBe(tool);
    expect(await findProgram("plain")).toBe(second);
    expect(await findProgram("nothing")).toBeUndefined();
    vi.stubEnv("PATH", "");
    expect(await findProgram("tool")).toBeUndefined();
  });

  test("is no folder", async () => {
    mkdirSync(join(folder.path, "tool"));
    vi.stubEnv("PATH", folder.path);
    expect(await findProgram("tool")).toBeUndefined();
  });
});

describe("QEMU", () => {
  test("is the one that is named, else the architecture's on the PATH", async () => {
    const own = program("my-qemu");
    const [x64, arm64] = [program("qemu-system-x86_64"), program("qemu-system-aarch64")];
    vi.stubEnv("PATH", folder.path);
    vi.stubEnv("SUPERMACHINE_QEMU", "");
    expect([await locateQemu("x64"), await locateQemu("arm64")]).toEqual([x64, arm64]);
    vi.stubEnv("SUPERMACHINE_QEMU", own);
    expect(await locateQemu("x64")).toBe(own);
    vi.stubEnv("SUPERMACHINE_QEMU", "");
    vi.stubEnv("PATH", "/missing");
    expect(await locateQemu("x64")).toBeUndefined();
  });

  test("that is named and cannot be executed is an error, not passed over", async () => {
    program("qemu-system-x86_64");
    vi.stubEnv("PATH", folder.path);
    for (const path of ["/missing/qemu", program("plain", "", 0o644), folder.path]) {
      vi.stubEnv("SUPERMACHINE_QEMU", path);
      await expect(locateQemu("x64")).rejects.toThrow(AssetsError);
      await expect(locateQemu("x64")).rejects.toThrow(`SUPERMACHINE_QEMU names ${path}, which cannot be executed`);
    }
  });
});
