import { expect, test } from "vitest";
import { signalExitCode } from "../../src/vm/exit-status.js";

test.each([
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGKILL", 137],
  ["SIGSEGV", 139],
  ["SIGPIPE", 141],
  ["SIGTERM", 143],
  ["SIGSYS", 159],
  // The guest is Linux: its numbers count, not those of the system we run on.
  ["SIGBUS", 135],
  ["SIGUSR1", 138],
  ["SIGPWR", 158],
  // Real-time signals have no name.
  ["SIG34", 162],
  ["SIG64", 192],
])("a command killed by %s exits with %i", (signal, code) => {
  expect(signalExitCode(signal as NodeJS.Signals)).toBe(code);
});
