import { setImmediate } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { withDeadline } from "../../src/guest/wait.js";

test("a promise that fails after its waiter was sent away by an aborted signal is no unhandled rejection", async () => {
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  try {
    const late = setImmediate().then(() => Promise.reject(new Error("late")));
    await expect(withDeadline(late, 1_000, "it", AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    await setImmediate();
    await setImmediate();
    expect(unhandled).not.toHaveBeenCalled();
  } finally {
    process.off("unhandledRejection", unhandled);
  }
});

test("waits for an outcome, but not longer than it is told", async () => {
  expect(await withDeadline(Promise.resolve(5), 1_000, "it")).toBe(5);
  await expect(withDeadline(new Promise(() => {}), 5, "the sun")).rejects.toThrow("Waited 5 ms in vain for the sun");
});
