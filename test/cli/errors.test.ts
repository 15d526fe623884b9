import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { reportError } from "../../src/cli/errors.js";
import { Interrupted } from "../../src/cli/interrupt.js";
import { ImageError, UsageError, VmError } from "../../src/index.js";
import { capture } from "./streams.js";

let output: ReturnType<typeof capture>;
beforeEach(() => {
  output = capture("stderr");
  vi.stubEnv("SUPERMACHINE_LOG", "");
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("the exit code", () => {
  test.each<[string, unknown, number]>([
    ["wrong usage", new UsageError("no such option"), 2],
    ["a failure", new VmError("gone"), 1],
    ["a defect", new TypeError("undefined is not a function"), 1],
    ["something that is no error", "oops", 1],
    ["SIGINT", new Interrupted("SIGINT"), 130],
    ["SIGTERM", new Interrupted("SIGTERM"), 143],
    ["SIGHUP", new Interrupted("SIGHUP"), 129],
  ])("of %s", (_, error, code) => {
    expect(reportError(error)).toBe(code);
  });
});

describe("what is printed", () => {
  test("of a failure is what failed and what to do, and no stack", () => {
    reportError(new ImageError("the image is damaged", { hint: "Pull it again.", cause: new Error("deep") }));
    expect(output.text()).toBe("supermachine: the image is damaged\n  Pull it again.\n");
  });

  test("of a failure is all of it when it is asked for", () => {
    vi.stubEnv("SUPERMACHINE_LOG", "debug");
    reportError(new VmError("top", { cause: new Error("middle", { cause: new Error("bottom") }) }));
    expect(output.text()).toMatch(
      /^supermachine: top\nVmError: top\n {4}at [\s\S]*caused by: Error: middle\n[\s\S]*caused by: Error: bottom/,
    );
    expect(output.text()).toContain("errors.test.ts");
  });

  test("of a defect is where it happened", () => {
    reportError(new TypeError("undefined is not a function"));
    expect(output.text()).toMatch(/^supermachine: unexpected error: TypeError: undefined is not a function\n {4}at /);
  });

  test("of something that is no error is that", () => {
    reportError("oops");
    expect(output.text()).toBe("supermachine: unexpected error: oops\n");
  });

  test("of an interruption is by what", () => {
    reportError(new Interrupted("SIGTERM"));
    expect(output.text()).toBe("supermachine: interrupted by SIGTERM\n");
  });
});
