import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { serveControl } from "../../src/daemon/control-server.js";
import { findVm, listVms } from "../../src/daemon/find-vm.js";
import {
  checkVmName,
  claim,
  listRecords,
  placeOf,
  readRecord,
  removeRecord,
  type VmRecord,
  writeRecord,
} from "../../src/daemon/record.js";
import { socketPath } from "../../src/daemon/socket-path.js";

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "supermachine-home-"));
  vi.stubEnv("SUPERMACHINE_HOME", home);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

function record(name: string, changes: Partial<VmRecord> = {}): VmRecord {
  const now = new Date().toISOString();
  return {
    ...{ name, image: `${name}-image`, reference: `oci-archive:/${name}.tar`, snapshotPath: `/snapshots/${name}` },
    ...{ command: ["true"], labels: {}, status: "exited", pid: 1, createdAt: now, exitCode: 0, remove: false },
    ...{ graceMs: 10_000, restarts: 0, memoryMiB: 256, vcpus: 1 },
    ...changes,
  };
}

/** Listens as a supervisor would, whatever became of the record in the file. */
async function pretendToRun(name: string, changes: Partial<VmRecord> = {}, text?: string): Promise<AsyncDisposable> {
  const running = record(name, { status: "running", ...changes });
  await writeRecord(running);
  if (text !== undefined) writeFileSync(placeOf(name).record, text);
  const path = await socketPath(placeOf(name).folder);
  return serveControl(path, { "GET /vm": async () => running }, async (socket) => void socket.destroy());
}

test("a record comes back as it was written", async () => {
  const written = record("web");
  await writeRecord(written);
  expect(await readRecord("web")).toEqual(written);
  expect(await readRecord("other")).toBeUndefined();
});

test("a VM whose supervisor is gone has failed, whatever its record says", async () => {
  await writeRecord(record("ghost", { status: "running" }));
  expect(await readRecord("ghost")).toMatchObject({ status: "failed", error: "its supervisor was killed" });
  expect(await listVms()).toEqual([]);
  expect(await listVms({ all: true })).toHaveLength(1);
});

test("a VM whose supervisor listens runs", async () => {
  await using _server = await pretendToRun("web");
  expect((await listVms()).map(({ name }) => name)).toEqual(["web"]);
});

test("a name is claimed once at a time", async () => {
  const first = await claim("web");
  await expect(claim("web")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_USAGE" });
  await expect(removeRecord("web")).rejects.toThrow("is running");
  await first[Symbol.asyncDispose]();
  await using _second = await claim("web");
});

test("what is left of a VM is removed", async () => {
  await writeRecord(record("web"));
  await removeRecord("web");
  expect(await listRecords()).toEqual([]);
});

test.each(['{"schema": 1}', "", "{"])(
  "a VM whose record is damaged (%j) is listed as that, and can be removed",
  async (text) => {
    await writeRecord(record("good"));
    mkdirSync(placeOf("web").folder, { recursive: true });
    writeFileSync(placeOf("web").record, text);
    const [good, web] = await listRecords();
    expect(good).toMatchObject({ name: "good", status: "exited" });
    expect(web).toMatchObject({ name: "web", status: "failed", error: expect.stringContaining("is damaged") });
    await removeRecord("web");
    expect((await listRecords()).map(({ name }) => name)).toEqual(["good"]);
  },
);

test("a VM that runs is known from its supervisor, when its record is damaged or old", async () => {
  await using _web = await pretendToRun("web", { restarts: 3 }, "{");
  expect(await readRecord("web")).toMatchObject({ name: "web", status: "running", restarts: 3 });
});

test("a process id that belongs to another process by now makes nobody run", async () => {
  await writeRecord(record("ghost", { status: "running", pid: process.pid, vmPid: process.pid }));
  expect(await listVms()).toEqual([]);
});

test.each(["", ".", "..", "a/b", "-a", "a b", "x".repeat(64), "a.lock", "a\0"])("%j cannot be a VM's name", (name) => {
  expect(() => checkVmName(name)).toThrow("cannot be a VM's name");
});

test("a VM is found by its name, a port, its image, its reference or the beginning of these", async () => {
  const ports = [{ protocol: "tcp" as const, host: "127.0.0.1", hostPort: 8080, guestPort: 80 }];
  await using _web = await pretendToRun("web", { ports });
  await using _worker = await pretendToRun("worker");
  const nameOf = async (target?: string) => (await findVm(target)).name;
  for (const target of ["web", "8080", ":8080", "web-image", "oci-archive:/web.tar", "oci-archive:/we", "we"])
    expect(await nameOf(target)).toBe("web");
  expect(await nameOf("worker-image")).toBe("worker");
  await expect(findVm("w")).rejects.toThrow("w can be web (web-image), worker (worker-image)");
  await expect(findVm()).rejects.toThrow("several VMs run: web (web-image), worker (worker-image)");
  await expect(findVm("80")).rejects.toThrow('no VM "80" is running');
  await writeRecord(record("old"));
  await expect(findVm("old")).rejects.toThrow("old has ended");
});

test("without a target it is the only one that runs", async () => {
  await expect(findVm()).rejects.toThrow("no VM is running");
  await writeRecord(record("old"));
  await using _web = await pretendToRun("web");
  expect((await findVm()).name).toBe("web");
});

test("a folder too deep for a socket's path gets a short one that only this user can reach", async () => {
  const deep = join(home, "x".repeat(120));
  vi.stubEnv("XDG_RUNTIME_DIR", home);
  const path = await socketPath(deep);
  expect(Buffer.byteLength(path)).toBeLessThan(104);
  expect(await socketPath(deep)).toBe(path);
  expect(await socketPath(`${deep}2`)).not.toBe(path);
});
