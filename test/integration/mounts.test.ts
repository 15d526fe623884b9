import { createHash, randomBytes, randomUUID } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Image, UsageError, type Vm } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { openDescriptors, remainingWorkers } from "../support/leftovers.js";

let image: Image;
let folder: ReturnType<typeof temporaryFolder>;
let vm: Vm;
let descriptors: number;
const onHost = (...names: string[]) => join(folder.path, "work", ...names);
const sh = async (script: string, options: { user?: string; cwd?: string } = {}) => {
  const result = await vm.run(["sh", "-c", script], { cwd: "/mounted", timeoutMs: 60_000, ...options });
  return result.stderr + result.stdout;
};

beforeAll(async () => {
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  folder = temporaryFolder();
  for (const name of ["work", "fixed", "home", "beside"]) mkdirSync(join(folder.path, name));
  writeFileSync(join(folder.path, "fixed", "file"), "kept\n");
  descriptors = openDescriptors();
  vm = await image.start({
    mounts: [
      { host: onHost(), guest: "/mounted" },
      { host: join(folder.path, "fixed"), guest: "/mounted/deps/fixed", readOnly: true },
      { host: join(folder.path, "home"), guest: "/home/app", owner: "app" },
    ],
  });
});
afterAll(async () => {
  await vm?.stop();
  folder?.[Symbol.dispose]();
  expect(await remainingWorkers()).toEqual([]);
  await vi.waitFor(() => expect(openDescriptors()).toBe(descriptors), 60_000);
});
beforeEach(() => {
  for (const name of readdirSync(onHost()).filter((each) => each !== "deps")) rmSync(onHost(name), { recursive: true });
});

test("edits of either side are seen by the other within a second", async () => {
  // Names that no earlier try had: for a second the guest knows what became of those.
  const [shared, missing] = [`shared-${randomUUID()}`, `missing-${randomUUID()}`];
  writeFileSync(onHost(shared), "one\n");
  const first = await sh(`cat ${shared}; echo two >> ${shared}; ls ${missing}`);
  expect(first).toMatch(/missing-\S+: No such file[\s\S]*one\n/);
  expect(readFileSync(onHost(shared), "utf8")).toBe("one\ntwo\n");
  writeFileSync(onHost(shared), "six\nten\n");
  writeFileSync(onHost(missing), "no more");
  await sleep(1000);
  expect(await sh(`cat ${shared} ${missing}`)).toBe("six\nten\nno more");
  rmSync(onHost(shared));
  await sleep(1000);
  expect(await sh(`cat ${shared} || echo gone`)).toMatch(/gone\n$/);
});

test("files behave as files do", async () => {
  const script = `set -e; umask 022
    mkdir -p a/b; echo text > a/b/file; chmod 640 a/b/file; ln a/b/file hard; ln -s a/b/file soft
    mv a/b a/c; cat a/c/file hard; readlink soft; touch -d '2001-02-03 04:05:06' hard; stat -c '%a %h %s %U' hard
    cp hard copy; truncate -s 2 copy; cat copy; echo; (echo appended >> hard); tail -n 1 a/c/file
    exec 3<>open; rm open; echo unlinked >&3; cat /proc/self/fd/3; rm -r a; ls; df -P . | tail -n 1 | grep -c supermachine`;
  expect(await sh(script)).toBe(
    "text\ntext\na/b/file\n640 2 5 root\nte\nappended\nunlinked\ncopy\ndeps\nhard\nsoft\n1\n",
  );
  expect(statSync(onHost("hard"))).toMatchObject({ size: 14, nlink: 1, mode: 0o100640 });
  expect(readlinkSync(onHost("soft"))).toBe("a/b/file");
});

test("a large file goes through whole, both ways", async () => {
  // New names: for a second the guest takes a file that was removed here for what has its number now.
  const [large, copy] = [`large-${randomUUID()}`, `copy-${randomUUID()}`];
  const content = randomBytes(20_000_003);
  writeFileSync(onHost(large), content);
  expect(await sh(`cp ${large} ${copy} && sync && sha256sum < ${large}`)).toContain(
    createHash("sha256").update(content).digest("hex"),
  );
  expect(readFileSync(onHost(copy)).equals(content)).toBe(true);
});

test("commands run in a mounted folder and out of it, also many at a time", async () => {
  writeFileSync(onHost("script"), "#!/bin/sh\necho $1 in $(pwd)\n", { mode: 0o755 });
  const runs = Array.from({ length: 12 }, (_, i) =>
    vm.run(["./script", String(i)], { cwd: "/mounted", timeoutMs: 60_000 }),
  );
  for (const [i, { stdout, stderr }] of (await Promise.all(runs)).entries())
    expect(stderr + stdout).toBe(`${i} in /mounted\n`);
  expect(await vm.run(["./missing"], { cwd: "/mounted" })).toMatchObject({ exitCode: 127 });
  expect(await vm.run(["true"], { cwd: "/mounted/missing" })).toMatchObject({ exitCode: 126 });
  const child = await vm.exec(["/mounted/script", "alone"], { cwd: "/mounted" });
  child.stdout.resume();
  expect(await child.wait()).toMatchObject({ exitCode: 0 });
  expect(child.pid).toBeGreaterThan(1);
});

test("files of the library's own calls can be there, too", async () => {
  await vm.writeFile("/mounted/new/file", "written", { createParents: true });
  expect(readFileSync(onHost("new", "file"), "utf8")).toBe("written");
  expect(await vm.readFile("/mounted/new/file", "utf8")).toBe("written");
});

test("a read-only folder within another stays as it is", async () => {
  expect(await sh("cat deps/fixed/file; echo x > deps/fixed/file; rm deps/fixed/file; touch deps/fixed/new")).toMatch(
    /(Read-only file system[\s\S]*){3}kept\n$/,
  );
  expect(readdirSync(join(folder.path, "fixed"))).toEqual(["file"]);
});

test("the files belong to the user who was named, and nobody else writes there", async () => {
  expect(await sh("echo mine > file; stat -c '%U:%G' . file", { user: "app", cwd: "/home/app" })).toBe(
    "app:app\napp:app\n",
  );
  expect(statSync(join(folder.path, "home", "file")).uid).toBe(process.getuid?.());
  expect(await sh("echo x > /home/app/file", { user: "nobody" })).toMatch(/Permission denied/);
  expect(await sh("chown 1234 file || echo kept", { user: "root", cwd: "/home/app" })).toMatch(/kept/);
});

test("links lead nowhere but within the guest, and no rights are left on the host", async () => {
  writeFileSync(join(folder.path, "beside", "secret"), "secret of the host");
  symlinkSync(join(folder.path, "beside", "secret"), onHost("out"));
  symlinkSync("../beside/secret", onHost("up"));
  expect(await sh("cat out up; cat ../beside/secret; ls /mounted/..")).not.toContain("secret of the host");
  await sh("ln -s /etc/hostname planted; cp /bin/busybox su; chmod 6755 su; mknod device b 8 0; mkfifo pipe");
  expect(lstatSync(onHost("planted")).isSymbolicLink()).toBe(true);
  expect(statSync(onHost("su")).mode & 0o7777).toBe(0o755);
  expect([existsSync(onHost("device")), existsSync(onHost("pipe"))]).toEqual([false, false]);
});

describe("a snapshot of a VM with a folder", () => {
  test("has lost it, and gets it anew from whoever starts it", async () => {
    writeFileSync(onHost("file"), "of the host");
    await sh("rm -f /tmp/read /tmp/state");
    const process = await vm.exec([
      "sh",
      "-c",
      "cd /mounted; exec 5<file; while sleep 0.1; do cat <&5 >/tmp/read 2>&1 || echo broken > /tmp/state; done",
    ]);
    await expect.poll(() => sh("cat /tmp/read")).toBe("of the host");
    const snapshot = await vm.snapshot(join(mkdtempSync(join(folder.path, "taken-")), "snapshot"));
    expect(await sh("cat file")).toBe("of the host");
    process.kill("SIGKILL");
    {
      await using without = await snapshot.start();
      const { stderr } = await without.run(["cat", "/mounted/file"]);
      expect(stderr).toMatch(/not connected/);
      await expect.poll(async () => (await without.run(["cat", "/tmp/state"])).stdout).toBe("broken\n");
    }
    await using again = await snapshot.start({ mounts: [{ host: onHost(), guest: "/mounted" }] });
    expect((await again.run(["cat", "/mounted/file"])).stdout).toBe("of the host");
    const { stdout } = await again.run(["grep", "-c", " /mounted fuse ", "/proc/mounts"]);
    expect(stdout).toBe("1\n");
  });
});

test("a folder that root in the guest unmounts is gone, and the VM goes on", async () => {
  await using other = await image.start({ mounts: [{ host: onHost(), guest: "/mounted" }] });
  expect((await other.run(["umount", "/mounted"])).exitCode).toBe(0);
  expect((await other.run(["ls", "-A", "/mounted"])).stdout).toBe("");
  expect((await other.run(["echo", "alive"])).stdout).toBe("alive\n");
});

test("a folder that cannot be mounted is an error, and no VM is left", async () => {
  const mount = { host: onHost(), guest: "/etc/passwd/x" };
  await expect(image.start({ mounts: [mount] })).rejects.toThrow(/could not mount \/etc\/passwd\/x: .*Not a directory/);
  await expect(image.start({ mounts: [{ ...mount, guest: "/x", owner: "nobody-knows" }] })).rejects.toThrow(
    /nobody-knows/,
  );
  await expect(image.start({ mounts: [{ ...mount, host: "/missing" }] })).rejects.toThrow(UsageError);
});
