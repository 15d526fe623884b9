import { describe, expect, test } from "vitest";
import { UsageError, VmError } from "../../src/errors.js";
import type { Machine } from "../../src/machine/index.js";
import { cloneIdentities, forkOf } from "../../src/vm/fork.js";
import type { Vm } from "../../src/vm/index.js";

describe("the identities of clones", () => {
  test("are different ones, with names made of the source's", () => {
    const identities = cloneIdentities({ count: 20 }, "web");
    expect(new Set(identities.map(({ machineId }) => machineId)).size).toBe(20);
    for (const { machineId, hostname } of identities) {
      expect(machineId).toMatch(/^[0-9a-f]{32}$/);
      expect(hostname).toBe(`web-${machineId.slice(0, 6)}`);
    }
    expect(cloneIdentities({}, "web")).toHaveLength(1);
  });

  test("are the given ones where they are given", () => {
    const [one, two] = cloneIdentities(
      { count: 2, identity: (index) => (index === 0 ? { hostname: "first" } : { machineId: "0".repeat(32) }) },
      "web",
    );
    expect(one).toMatchObject({ hostname: "first", machineId: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(two).toEqual({ hostname: expect.stringMatching(/^web-[0-9a-f]{6}$/), machineId: "0".repeat(32) });
  });

  test("have names that Linux takes", () => {
    expect(cloneIdentities({}, "x".repeat(64))[0]?.hostname).toHaveLength(64);
  });

  test("of a clone do not grow", () => {
    expect(cloneIdentities({}, "web-0123ab")[0]?.hostname).toMatch(/^web-[0-9a-f]{6}$/);
    expect(cloneIdentities({}, "web-server")[0]?.hostname).toMatch(/^web-server-[0-9a-f]{6}$/);
  });

  test.each([0, -1, 1.5, 1001, Number.NaN])("cannot be %d", (count) => {
    expect(() => cloneIdentities({ count }, "web")).toThrow(UsageError);
  });
});

test("a fork lists its clones and its failures, and ends the clones with it", async () => {
  const ended: number[] = [];
  const vmOf = (_: Machine, index: number) =>
    ({ index, [Symbol.asyncDispose]: async () => void ended.push(index) }) as unknown as Vm;
  const machine = {} as Machine;
  const fork = forkOf(
    {
      clones: [
        { status: "fulfilled", value: machine },
        { status: "rejected", reason: new VmError("no memory") },
        { status: "fulfilled", value: machine },
      ],
      pausedMs: 3,
    },
    vmOf,
  );
  expect(fork.vms).toMatchObject([{ index: 0 }, { index: 2 }]);
  expect(fork.failures).toMatchObject([{ index: 1, error: { message: "no memory" } }]);
  expect(fork.pausedMs).toBe(3);
  await fork[Symbol.asyncDispose]();
  expect(ended).toEqual([0, 2]);
});
