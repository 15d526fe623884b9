import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { type Hardware, Qemu, type Worker } from "../../../src/engine/index.js";
import { AssetsError, VmError } from "../../../src/errors.js";
import { isRunning } from "../../guest/agent-under-test.js";
import { temporaryFolder } from "../../support/layer-fixture.js";

const FAKE = join(import.meta.dirname, "fake-qemu.mjs");
const hardware: Hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 128, vcpus: 1 };
const ram = { path: "/ram.img", shared: false };

let worker: Worker | undefined;
afterEach(async () => {
  vi.unstubAllEnvs();
  await worker?.kill();
  worker = undefined;
});

async function start(behaviour = "well", signal?: AbortSignal): Promise<Worker> {
  vi.stubEnv("FAKE_QEMU", behaviour);
  worker = await new Qemu(FAKE, "1.2.3").prepare(hardware, ram, [], { signal });
  return worker;
}

/** Waits until the fake has said something. */
const said = (text: string) => vi.waitFor(() => expect(worker?.diagnostics()).toContain(text));

test("the hypervisor's identity has its version and our device model", () => {
  expect(new Qemu("/qemu", "7.2.22 (Debian 1:7.2)").identity).toMatch(/^qemu 7\.2\.22 \(Debian 1:7\.2\); devices \d+$/);
});

test("the process is known from its first word on, before it takes commands", async () => {
  const greeted = vi.fn();
  const aborting = new AbortController();
  vi.stubEnv("FAKE_QEMU", "silent");
  const starting = new Qemu(FAKE, "1").prepare(hardware, ram, [], { signal: aborting.signal, greeted });
  await vi.waitFor(() => expect(greeted).toHaveBeenCalledWith(expect.any(Number)), 30_000);
  aborting.abort(new Error("enough"));
  await expect(starting).rejects.toThrow("enough");
});

test("a worker takes commands once it has started", async () => {
  using folder = temporaryFolder();
  const { pid } = await start();
  expect(isRunning(pid)).toBe(true);
  await worker?.pause();
  await said("command: stop");
  await worker?.resume();
  await said("command: cont");
  const path = join(folder.path, "device.state");
  await worker?.saveDeviceState(path);
  expect(readFileSync(path, "utf8")).toBe("state");
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("its last words and the console's are kept for errors, and the console's bytes are counted", async () => {
  await start();
  await said("qemu: warning: fake\nconsole: hello");
  expect(worker?.consoleBytes()).toBeGreaterThanOrEqual("console: hello\n".length);
});

test("disks are attached as block node and device, and a refusal is reported", async () => {
  await start();
  await worker?.attachDisks([{ lun: 1, path: "/one.erofs" }]);
  await said('"filename":"/one.erofs"');
  await said('command: device_add {"driver":"scsi-hd"');
  await expect(worker?.attachDisks([{ lun: 13, path: "/x" }])).rejects.toThrow("QEMU refused device_add: no such bus");
});

test("a device state is sent whole, and loaded once the guest runs", async () => {
  await start();
  await worker?.loadDeviceState(Buffer.from(`${"x".repeat(90_000)} the end`));
  await said("the end");
});

test("a worker that dies while it loads a state is an error at once", async () => {
  await start("dies");
  await expect(worker?.loadDeviceState(Buffer.from("state"))).rejects.toThrow(VmError);
  expect(await worker?.exited).toEqual({ code: null, signal: "SIGKILL", expected: false });
  await expect(worker?.loadDeviceState(Buffer.from("state"))).rejects.toThrow(/could not be loaded/);
  await expect(worker?.pause()).rejects.toThrow(VmError);
});

test("ending it is expected, and can be done twice", async () => {
  const { pid, exited } = await start();
  await Promise.all([worker?.kill(), worker?.kill()]);
  await worker?.kill();
  expect(await exited).toEqual({ code: null, signal: "SIGKILL", expected: true });
  expect(isRunning(pid)).toBe(false);
});

test("an end from outside is not expected", async () => {
  const { pid, exited } = await start();
  process.kill(pid, "SIGTERM");
  expect(await exited).toMatchObject({ signal: "SIGTERM", expected: false });
});

test("one that does not start says why, and what to do", async () => {
  const error = await start("fails").catch((each: unknown) => each);
  expect(error).toBeInstanceOf(AssetsError);
  expect(error).toMatchObject({
    message: expect.stringMatching(/Permission denied/),
    hint: expect.stringMatching(/doctor/),
  });
});

test("one that is not there is an error with its name", async () => {
  const starting = new Qemu("/missing/qemu", "1").prepare(hardware, ram, []);
  await expect(starting).rejects.toThrow(AssetsError);
  await expect(new Qemu("/missing/qemu", "1").prepare(hardware, ram, [])).rejects.toThrow("/missing/qemu");
});

test("one that never answers is given up when the signal aborts", async () => {
  const controller = new AbortController();
  const starting = start("silent", controller.signal);
  setTimeout(() => controller.abort(new Error("enough")), 50);
  await expect(starting).rejects.toThrow("enough");
  await expect(start("well", AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
});
