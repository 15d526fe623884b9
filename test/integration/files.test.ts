import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GuestFileError, Image, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";

let vm: Vm;

beforeAll(async () => {
  const { archive } = await busyboxImage();
  vm = await (await Image.fromOci(`oci-archive:${archive}`)).start();
});
afterAll(() => vm.stop());

test.each([0, 1, 4096, 65_536, 1_000_003, 40_000_000])(
  "a file of %i bytes comes back as it was written",
  async (size) => {
    const content = randomBytes(size);
    await vm.writeFile("/tmp/file", content);
    expect((await vm.readFile("/tmp/file")).equals(content)).toBe(true);
    const sum = await vm.run(["sha256sum", "/tmp/file"]);
    expect(sum.stdout.split(" ")[0]).toBe(createHash("sha256").update(content).digest("hex"));
  },
);

test("text, streams and relative paths work", async () => {
  await vm.writeFile("tmp/text", "héllo");
  expect(await vm.readFile("/tmp/text", "utf8")).toBe("héllo");
  await vm.writeFile("/tmp/stream", Readable.from([Buffer.from("one "), Buffer.from("two")]));
  expect(await vm.readFile("/tmp/stream", { encoding: "latin1" })).toBe("one two");
});

test("mode, owner and missing folders are as asked for", async () => {
  await vm.writeFile("/tmp/a/b/script", "#!/bin/sh\necho ran\n", { mode: 0o750, user: "app", createParents: true });
  expect((await vm.run(["stat", "-c", "%a %u:%g", "/tmp/a/b/script"])).stdout).toBe("750 1000:1000\n");
  expect((await vm.run(["/tmp/a/b/script"], { user: "app" })).stdout).toBe("ran\n");
});

test("a write that fails leaves the old file and nothing beside it", async () => {
  await vm.run(["mkdir", "/tmp/kept"]);
  await vm.writeFile("/tmp/kept/file", "old");
  const broken = Readable.from(
    (function* () {
      yield Buffer.alloc(100_000);
      throw new Error("the source broke");
    })(),
  );
  await expect(vm.writeFile("/tmp/kept/file", broken)).rejects.toThrow("the source broke");
  expect(await vm.readFile("/tmp/kept/file", "utf8")).toBe("old");
  expect((await vm.run(["ls", "-A", "/tmp/kept"])).stdout).toBe("file\n");
});

test("a full disk in the guest is an error with its errno, and frees what was written", async () => {
  const tooMuch = Readable.from(
    (function* () {
      for (let i = 0; i < 400; i++) yield Buffer.alloc(1 << 20, i);
    })(),
  );
  await expect(vm.writeFile("/tmp/huge", tooMuch)).rejects.toMatchObject({ errno: "ENOSPC", path: "/tmp/huge" });
  expect((await vm.run(["ls", "-A", "/tmp"])).stdout).not.toMatch(/huge/);
  await vm.writeFile("/tmp/small", "fits again");
});

test.each([
  ["/missing/file", "ENOENT"],
  ["/etc", "EISDIR"],
  ["/etc/passwd/x", "ENOTDIR"],
])("reading %s is %s", async (path, errno) => {
  const error = await vm.readFile(path).catch((each: unknown) => each);
  expect(error).toBeInstanceOf(GuestFileError);
  expect(error).toMatchObject({ errno, path, code: "ERR_SUPERMACHINE_GUEST_FILE" });
});

test("links are followed inside the guest's own root only", async () => {
  await vm.run(["ln", "-s", "/../../../../etc/passwd", "/tmp/link"]);
  expect(await vm.readFile("/tmp/link", "utf8")).toContain("app:");
});
