import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { unpackDeb } from "../../src/assets/deb.js";
import { AssetsError } from "../../src/errors.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { AR_MAGIC, arMember, buildDeb } from "./deb-builder.js";

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

async function unpack(deb: Buffer, members = ["./boot"], signal?: AbortSignal): Promise<void> {
  const path = join(folder.path, "some.deb");
  writeFileSync(path, deb);
  await unpackDeb(path, folder.path, members, signal);
}

describe("a package", () => {
  test.each(["xz", "zst"] as const)("packed with %s gives the members that are asked for", async (compression) => {
    await unpack(buildDeb({ "boot/vmlinuz": "kernel", "usr/share/doc/x": "no" }, compression));
    expect(readFileSync(join(folder.path, "boot/vmlinuz"), "utf8")).toBe("kernel");
    expect(readdirSync(folder.path).sort()).toEqual(["boot", "some.deb"]);
  });

  test("without a member that is asked for is an error", async () => {
    await expect(unpack(buildDeb({ "usr/x": "x" }))).rejects.toThrow(AssetsError);
  });

  test("is not unpacked once that was aborted", async () => {
    await expect(
      unpack(buildDeb({ "boot/x": "x" }), ["./boot"], AbortSignal.abort(new Error("enough"))),
    ).rejects.toThrow("enough");
  });
});

describe("what is no package is an error", () => {
  const member = (name: string, size: string | number) =>
    Buffer.concat([AR_MAGIC, arMember(name, Buffer.alloc(60), size)]);
  test.each<[string, Buffer, RegExp]>([
    ["nothing", Buffer.alloc(0), /no Debian package/],
    ["something else", Buffer.from("<html>not found</html>"), /no Debian package/],
    [
      "an archive without data",
      Buffer.concat([AR_MAGIC, arMember("debian-binary", Buffer.from("2.0\n"))]),
      /no data\.tar/,
    ],
    ["an archive without members", AR_MAGIC, /no data\.tar/],
    ["a header that is cut", Buffer.concat([AR_MAGIC, Buffer.alloc(59, " ")]), /no data\.tar/],
    ["a size that is no number", member("control.tar.xz", "many"), /no data\.tar/],
    ["a size below zero", member("control.tar.xz", -60), /no data\.tar/],
    ["a size without end", member("control.tar.xz", "9999999999"), /no data\.tar/],
    ["data of no size", member("data.tar.xz", 0), /no data\.tar/],
    ["data of a size below zero", member("data.tar.xz", -5), /no data\.tar/],
    ["data that is cut", buildDeb({ "boot/x": "x" }).subarray(0, -30), /could not be unpacked/],
    [
      "data that is none",
      Buffer.concat([AR_MAGIC, arMember("data.tar.xz", Buffer.alloc(100))]),
      /could not be unpacked/,
    ],
  ])("%s", async (_, deb, reason) => {
    const error = await unpack(deb).catch((each: unknown) => each);
    expect(error).toBeInstanceOf(AssetsError);
    expect((error as Error).message).toMatch(reason);
  });
});
