import { resolve } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { Image, setup } from "../../src/index.js";

const archive = `oci-archive:${resolve(".tmp/busybox.tar")}`;
let image: Image;

beforeAll(async () => {
  image = await Image.fromOci(archive);
});

test("the accelerator is detected by a real boot", async () => {
  expect(await setup()).toMatchObject({ isolation: "hardware (kvm)" });
});

test("a baked image is restored and runs commands", async () => {
  await using vm = await image.start();
  expect(vm.isolation).toBe("hardware (kvm)");
  expect(await vm.run(["sh", "-c", "echo $((6 * 7))"])).toMatchObject({ exitCode: 0, stdout: "42\n" });
});

test("restores share no state and no randomness", async () => {
  const read = async () => {
    await using vm = await image.start();
    await vm.writeFile("/marker", "x");
    const { stdout } = await vm.run([
      "sh",
      "-c",
      "head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'; ls / | grep -c marker",
    ]);
    return stdout;
  };
  const [one, two] = [await read(), await read()];
  expect(one).toMatch(/^[0-9a-f]{64}1\n$/);
  expect(two).not.toBe(one);
});

test("a snapshot of a running guest holds its files and its processes", async () => {
  await using vm = await image.start();
  await vm.writeFile("/marker", "kept");
  await vm.run(["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"]);
  const folder = resolve(`.tmp/kvm-snapshot-${process.pid}`);
  const snapshot = await vm.snapshot(folder);
  await using clone = await snapshot.start();
  expect(await clone.readFile("/marker", "utf8")).toBe("kept");
  expect((await clone.run(["sh", "-c", "ps | grep -c '[s]leep 1000'"])).stdout).toBe("1\n");
});

test("guests with two processors are templated and restored as well", async () => {
  const two = await Image.fromOci(archive, { vcpus: 2 });
  await using vm = await two.start();
  expect((await vm.run(["nproc"])).stdout).toBe("2\n");
});
