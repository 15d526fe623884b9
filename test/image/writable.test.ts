import { expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { diskSizeOf } from "../../src/image/writable.js";

test.each([
  [{}, undefined],
  [{ writable: "memory" as const }, undefined],
  [{ writable: "disk" as const }, 8192],
  [{ writable: "disk" as const, diskMiB: 500 }, 500],
  [{ diskMiB: 64 }, 64],
])("%j is a disk of %s MiB", (options, size) => {
  expect(diskSizeOf(options)).toBe(size);
});

test.each([
  [{ writable: "tape" as never }, 'writable is "tape"; it is memory or disk'],
  [{ writable: "memory" as const, diskMiB: 100 }, "diskMiB is the size of a disk, but writable is memory"],
  [{ diskMiB: 63 }, "diskMiB is 63; it is a whole number from 64"],
  [{ diskMiB: 100.5 }, "diskMiB is 100.5"],
  [{ diskMiB: 2 ** 21 }, "diskMiB is 2097152"],
])("%j is refused", (options, message) => {
  expect(() => diskSizeOf(options)).toThrow(UsageError);
  expect(() => diskSizeOf(options)).toThrow(message);
});
