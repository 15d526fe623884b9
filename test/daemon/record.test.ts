import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
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
import { findVm, listVms } from "../../src/daemon/running-vm.js";
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

/** Listens as a supervisor would. */
async function pretendToRun(name: string): Promise<AsyncDisposable> {
  await writeRecord(record(name, { status: "running" }));
  const server = createServer((socket) => socket.end());
  const path = await socketPath(placeOf(name).folder);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
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

test("a damaged record is a clear error", async () => {
  mkdirSync(placeOf("web").folder, { recursive: true });
  writeFileSync(placeOf("web").record, '{"schema": 1}');
  await expect(readRecord("web")).rejects.toMatchObject({ code: "ERR_SUPERMACHINE_VM" });
});

test.each(["", ".", "..", "a/b", "-a", "a b", "x".repeat(64), "a.lock", "a\0"])("%j cannot be a VM's name", (name) => {
  expect(() => checkVmName(name)).toThrow("cannot be a VM's name");
});

test("a VM is found by its name, its image, its reference or the beginning of its name", async () => {
  await using _web = await pretendToRun("web");
  await using _worker = await pretendToRun("worker");
  const nameOf = async (target?: string) => (await findVm(target)).name;
  expect(await nameOf("web")).toBe("web");
  expect(await nameOf("worker-image")).toBe("worker");
  expect(await nameOf("oci-archive:/web.tar")).toBe("web");
  expect(await nameOf("wo")).toBe("worker");
  await expect(findVm("w")).rejects.toThrow("w can be web, worker");
  await expect(findVm()).rejects.toThrow("several VMs run");
  await expect(findVm("nothing")).rejects.toThrow("is running");
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
