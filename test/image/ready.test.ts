import { describe, expect, test, vi } from "vitest";
import { BakeError, UsageError, VmError } from "../../src/errors.js";
import type { BakeOptions } from "../../src/image/index.js";
import { exposedPort, readyOf, startListening } from "../../src/image/ready.js";
import type { Machine } from "../../src/machine/index.js";
import type { ExitStatus, Vm } from "../../src/vm/index.js";

describe("the options", () => {
  test("are the agent's readiness and port 80 by default", () => {
    expect(readyOf({})).toEqual({ ready: "start", guestPort: 80 });
    expect(readyOf({ ready: "listener", guestPort: 8080 })).toEqual({ ready: "listener", guestPort: 8080 });
  });

  test.each([
    ["ready", { ready: "soon" }, "ready is soon; it can be start, listener, before-workload"],
    ["guestPort", { guestPort: 0 }, "guestPort is 0;"],
    ["guestPort", { guestPort: 65_536 }, "guestPort is 65536;"],
    ["readyTimeoutMs", { readyTimeoutMs: 0 }, "readyTimeoutMs is 0;"],
    ["warmupTimeoutMs", { warmupTimeoutMs: 1.5 }, "warmupTimeoutMs is 1.5;"],
  ])("a wrong %s is refused", (_, options, message) => {
    expect(() => readyOf(options as BakeOptions)).toThrow(UsageError);
    expect(() => readyOf(options as BakeOptions)).toThrow(message);
  });
});

test.each([
  [["53/udp", "9000/tcp", "8000"], 8000],
  [["53/udp", "0/tcp", "99999/tcp", "80-90/tcp"], undefined],
  [undefined, undefined],
])("of the ports %j that an image exposes, it is %s", (exposed, port) => {
  expect(exposedPort(exposed)).toBe(port);
});

describe("a command that shall listen", () => {
  const never = new Promise<never>(() => undefined);
  /** A VM whose command wrote `output` and ends, or not. */
  const vmWith = (output: string, ended: Promise<ExitStatus> = never) =>
    ({ startWorkload: async () => ({ output, wait: () => ended }) }) as unknown as Vm;
  const machineWith = (listens: Promise<void>) => {
    const awaitListener = vi.fn(() => listens);
    return { agent: { awaitListener } } as unknown as Machine;
  };
  const start = (vm: Vm, machine: Machine, options: BakeOptions = {}) => startListening(vm, machine, "app:1", options);

  test("is waited for on its port", async () => {
    const machine = machineWith(Promise.resolve());
    await start(vmWith(""), machine, { guestPort: 8080, readyTimeoutMs: 500 });
    expect(machine.agent.awaitListener).toHaveBeenCalledWith(8080, { timeoutMs: 500 });
  });

  test("and ends is an error with its code and last output", async () => {
    const ended = Promise.resolve({ exitCode: 3, signal: null });
    const error = await start(vmWith("no \x1b[31mconfig\n", ended), machineWith(never)).catch((e) => e);
    expect(error).toBeInstanceOf(BakeError);
    expect(error.message).toBe(
      "the command of app:1 ended with exit code 3 before it listened on port 80; its last output:\nno [31mconfig",
    );
    const killed = Promise.resolve({ exitCode: 137, signal: "SIGKILL" as const });
    await expect(start(vmWith("", killed), machineWith(never))).rejects.toThrow(
      "was killed by SIGKILL before it listened on port 80; it wrote nothing",
    );
  });

  test("and never does is an error with what is listened on instead and the last output", async () => {
    const cause = new VmError("nobody listens on port 80, but on 8080");
    const error = await start(vmWith("serving on 8080"), machineWith(Promise.reject(cause))).catch((e) => e);
    expect(error).toBeInstanceOf(BakeError);
    expect(error).toMatchObject({ cause, hint: expect.stringContaining("guestPort") });
    expect(error.message).toMatch(/within 60000 ms: nobody listens .* but on 8080; its last output:\nserving on 8080/);
  });

  test("is given up when the bake is aborted, for the signal's own reason", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    const machine = machineWith(Promise.reject(new Error("other")));
    await expect(start(vmWith(""), machine, { signal })).rejects.toThrow("enough");
  });
});
