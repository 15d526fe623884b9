import { PassThrough } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { VmError } from "../../src/errors.js";
import { type VmProcess, Workload } from "../../src/vm/index.js";

function processWith(wait: () => Promise<unknown>) {
  const [stdout, stderr, kill] = [new PassThrough(), new PassThrough(), vi.fn()];
  return { process: { pid: 7, stdout, stderr, kill, wait } as unknown as VmProcess, stdout, stderr, kill };
}

test("a workload's output is read by itself, and the last of it kept", async () => {
  const { process, stdout, stderr, kill } = processWith(async () => ({ exitCode: 0, signal: null, truncated: false }));
  const workload = new Workload(process);
  stdout.write("out\n");
  stderr.write("err\n");
  await setImmediate();
  expect(workload.output.split("\n").sort()).toEqual(["", "err", "out"]);
  stdout.write("x".repeat(100_000));
  stdout.write("end");
  await setImmediate();
  expect(workload.output).toHaveLength(65_536);
  expect(workload.output.endsWith("xend")).toBe(true);
  expect(workload.pid).toBe(7);
  workload.kill("SIGINT");
  expect(kill).toHaveBeenCalledWith("SIGINT");
  expect(await workload.wait()).toEqual({ exitCode: 0, signal: null });
});

test("a workload that is lost with its VM disturbs only who waits for it", async () => {
  const { process, stdout } = processWith(() => Promise.reject(new VmError("gone")));
  const workload = new Workload(process);
  stdout.destroy(new VmError("gone"));
  await setImmediate();
  await expect(workload.wait()).rejects.toThrow("gone");
});
