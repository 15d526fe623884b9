import { describe, expect, test } from "vitest";
import { BakeError, UsageError } from "../../src/errors.js";
import { runWarmup, warmupTagOf } from "../../src/image/warm-up.js";
import type { ProgressEvent } from "../../src/index.js";
import type { Vm } from "../../src/vm/index.js";

const vm = {} as Vm;

describe("a warm-up and its tag", () => {
  const warmup = async () => undefined;
  test("belong together", () => {
    expect(warmupTagOf({})).toBeUndefined();
    expect(warmupTagOf({ warmup, warmupTag: "v1" })).toBe("v1");
    expect(() => warmupTagOf({ warmup })).toThrow(UsageError);
    expect(() => warmupTagOf({ warmup, warmupTag: "" })).toThrow("warmup needs a warmupTag");
    expect(() => warmupTagOf({ warmupTag: "v1" })).toThrow("warmupTag is v1, but there is no warmup");
  });
});

describe("a warm-up", () => {
  test("is given the VM, and reported", async () => {
    const events: ProgressEvent[] = [];
    const given: unknown[] = [];
    await runWarmup(vm, "app", { warmup: async (each) => given.push(each), onProgress: (event) => events.push(event) });
    expect(given).toEqual([vm]);
    expect(events).toEqual([
      { phase: "warm-up", item: "app" },
      { phase: "warm-up", item: "app", finished: true },
    ]);
    await runWarmup(vm, "app", {});
  });

  test("that fails is an error of its own, with what it threw", async () => {
    const cause = new TypeError("no such package");
    const error = await runWarmup(vm, "app", { warmup: () => Promise.reject(cause) }).catch((e) => e);
    expect(error).toBeInstanceOf(BakeError);
    expect(error.message).toBe("the warm-up of app failed: no such package");
    expect(error.cause).toBe(cause);
    const thrown = await runWarmup(vm, "app", {
      warmup: () => {
        throw cause;
      },
    }).catch((e) => e);
    expect(thrown).toMatchObject({ cause, code: "ERR_SUPERMACHINE_BAKE" });
  });

  test("that takes too long is told so by its signal, and is not waited for", async () => {
    let told: AbortSignal | undefined;
    const warmup = (_: Vm, { signal }: { signal: AbortSignal }) => {
      told = signal;
      // A timer of its own keeps the process alive, as a VM would.
      return new Promise((resolve) => setTimeout(resolve, 2_000));
    };
    await expect(runWarmup(vm, "app", { warmup, warmupTimeoutMs: 20 })).rejects.toThrow(
      "the warm-up of app did not end within 20 ms",
    );
    expect(told?.aborted).toBe(true);
  });

  test("ends with the bake's signal and its reason", async () => {
    const controller = new AbortController();
    const warmup = () => new Promise(() => setTimeout(() => controller.abort(new Error("enough")), 10));
    await expect(runWarmup(vm, "app", { warmup, signal: controller.signal })).rejects.toThrow("enough");
  });
});
