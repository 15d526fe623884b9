import { describe, expect, test } from "vitest";
import {
  AssetsError,
  BakeError,
  CacheInvalidError,
  CacheMissError,
  ExecTimeoutError,
  GuestFileError,
  ImageError,
  ImageNotFoundError,
  NetworkError,
  SupermachineError,
  UsageError,
  VmError,
} from "../src/errors.js";

/** Every class that needs nothing but a message, with its code. The codes are public: they never change. */
const CODES = [
  [ImageError, "ERR_SUPERMACHINE_IMAGE"],
  [ImageNotFoundError, "ERR_SUPERMACHINE_IMAGE_NOT_FOUND"],
  [VmError, "ERR_SUPERMACHINE_VM"],
  [AssetsError, "ERR_SUPERMACHINE_ASSETS"],
  [CacheMissError, "ERR_SUPERMACHINE_CACHE_MISS"],
  [CacheInvalidError, "ERR_SUPERMACHINE_CACHE_INVALID"],
  [BakeError, "ERR_SUPERMACHINE_BAKE"],
  [ExecTimeoutError, "ERR_SUPERMACHINE_EXEC_TIMEOUT"],
  [UsageError, "ERR_SUPERMACHINE_USAGE"],
  [NetworkError, "ERR_SUPERMACHINE_NETWORK"],
] as const;

describe.each(CODES)("%o", (Class, code) => {
  const error = new Class("what failed", { hint: "what to do" });

  test("has its own name and code", () => {
    expect(error).toMatchObject({ name: Class.name, code });
    expect(error).toBeInstanceOf(SupermachineError);
    expect(SupermachineError.is(error)).toBe(true);
  });

  test("says what failed and then what to do", () => {
    expect(error.message).toBe("what failed\n  what to do");
    expect(error.hint).toBe("what to do");
  });
});

test("an error without a hint has its message alone, and one without a cause has no cause", () => {
  const error = new VmError("what failed");
  expect(error.message).toBe("what failed");
  expect(error.hint).toBeUndefined();
  expect("cause" in error).toBe(false);
});

test("the cause is kept", () => {
  const cause = new Error("deeper");
  expect(new VmError("what failed", { cause }).cause).toBe(cause);
});

test("an image that is not found is an image error too", () => {
  expect(new ImageNotFoundError("gone")).toBeInstanceOf(ImageError);
});

test("what an error knows besides is on it", () => {
  expect(new ExecTimeoutError("late", { stdout: "a", stderr: "b" })).toMatchObject({ stdout: "a", stderr: "b" });
  expect(new ExecTimeoutError("late")).toMatchObject({ stdout: "", stderr: "" });
  expect(new GuestFileError("no", { errno: "ENOENT", path: "/x" })).toMatchObject({
    code: "ERR_SUPERMACHINE_GUEST_FILE",
    errno: "ENOENT",
    path: "/x",
  });
});

test("errors of another copy of the package are known, others are not", () => {
  expect(SupermachineError.is(Object.assign(new Error("x"), { code: "ERR_SUPERMACHINE_VM" }))).toBe(true);
  expect(SupermachineError.is(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false);
  expect(SupermachineError.is(new Error("x"))).toBe(false);
  expect(SupermachineError.is({ code: "ERR_SUPERMACHINE_VM" })).toBe(false);
  expect(SupermachineError.is(undefined)).toBe(false);
});
