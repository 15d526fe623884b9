import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { BakeError, ImageError, NoSpaceError, VmError } from "../../src/errors.js";
import { explainingNoSpace, replace } from "../../src/store/index.js";
import { temporaryFolder } from "../support/layer-fixture.js";

const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
const failing = (error: unknown) => async () => {
  throw error;
};

describe("a failure for want of space", () => {
  test.each([
    ["of the system", full],
    ["over quota", Object.assign(new Error("quota"), { code: "EDQUOT" })],
    ["somewhere behind another", new BakeError("x", { cause: new VmError("y", { cause: full }) })],
  ])("says where and what to do: %s", async (_, cause) => {
    using folder = temporaryFolder();
    const place = join(folder.path, "thing");
    const error = await explainingNoSpace(place, failing(cause)).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(NoSpaceError);
    expect(error).toMatchObject({ code: "ERR_SUPERMACHINE_NO_SPACE", path: place, cause });
    expect((error as Error).message).toMatch(`there is no space left for ${place}`);
    expect((error as Error).message).toMatch(/supermachine prune[\s\S]*SUPERMACHINE_HOME/);
  });

  test("is explained once", async () => {
    const inner = new NoSpaceError("inner", { path: "/inner" });
    await expect(explainingNoSpace("/outer", failing(inner))).rejects.toBe(inner);
  });

  test.each([
    ["of another kind", new Error("broken")],
    ["of the system", Object.assign(new Error("EACCES"), { code: "EACCES" })],
    ["an abort", new DOMException("aborted", "AbortError")],
  ])("an error is left alone where there is space: %s", async (_, error) => {
    using folder = temporaryFolder();
    await expect(explainingNoSpace(join(folder.path, "x"), failing(error))).rejects.toBe(error);
  });
});

/** Only root can mount a disk that is soon full. */
describe.skipIf(process.getuid?.() !== 0)("on a full disk", () => {
  const withFullDisk = async (body: (disk: string) => Promise<void>) => {
    using folder = temporaryFolder();
    const disk = join(folder.path, "disk");
    mkdirSync(disk);
    await execa("mount", ["-t", "tmpfs", "-o", "size=64k", "supermachine-test", disk]);
    try {
      await body(disk);
    } finally {
      await execa("umount", [disk]);
    }
  };

  test("the failure of a program that does not say why is one, and that of an image is not", async () => {
    await withFullDisk(async (disk) => {
      const died = new VmError("QEMU ended (SIGBUS)");
      await expect(explainingNoSpace(join(disk, "x"), failing(died))).rejects.toThrow(NoSpaceError);
      const wrong = new ImageError("the digest is wrong");
      await expect(explainingNoSpace(join(disk, "x"), failing(wrong))).rejects.toBe(wrong);
    });
  });

  test("what is written is not there in part, and is there when there is space again", async () => {
    await withFullDisk(async (disk) => {
      const write = (size: number) =>
        replace(join(disk, "thing"), async (partial) => writeFileSync(partial, Buffer.alloc(size)));
      await expect(write(100_000)).rejects.toThrow(NoSpaceError);
      expect(readdirSync(disk)).toEqual([]);
      await write(1000);
      expect(readdirSync(disk)).toEqual(["thing"]);
    });
  });
});
