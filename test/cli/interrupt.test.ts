import { afterEach, expect, test, vi } from "vitest";
import { Interrupted, onInterrupt } from "../../src/cli/interrupt.js";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const before = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
afterEach(() => {
  vi.restoreAllMocks();
  for (const signal of SIGNALS) {
    for (const listener of process.listeners(signal)) {
      if (!before.get(signal)?.includes(listener)) process.off(signal, listener);
    }
  }
});

test.each(SIGNALS)("%s aborts what is being done, with the reason", (name) => {
  const signal = onInterrupt();
  expect(signal.aborted).toBe(false);
  const listener = process.listeners(name).at(-1);
  listener?.(name);
  expect(signal.reason).toBeInstanceOf(Interrupted);
  expect(signal.reason).toMatchObject({ message: `interrupted by ${name}` });
});

test("a second signal ends the process, in a way that puts its terminal back", () => {
  const exit = vi.spyOn(process, "exit").mockReturnValue(undefined as never);
  onInterrupt();
  process.emit("SIGHUP");
  expect(exit).not.toHaveBeenCalled();
  process.emit("SIGINT");
  expect(exit).toHaveBeenCalledWith(130);
});
