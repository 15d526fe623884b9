import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openReporter, withProgress } from "../../../src/cli/progress/index.js";
import type { ProgressEvent } from "../../../src/index.js";
import { capture, fakeStream } from "../streams.js";

const MB = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function layer(digit: string, event: Partial<ProgressEvent> = {}): ProgressEvent {
  return { phase: "layer", item: `sha256:${digit.repeat(64)}`, done: 0, total: 100 * MB, state: "fetching", ...event };
}

function plain() {
  const { stream, text } = fakeStream();
  return { reporter: openReporter({}, stream, {}), lines: () => text().split("\n").slice(0, -1) };
}

describe("where standard error is no terminal", () => {
  test("each step has a line when it starts and one when it is done", () => {
    const { reporter, lines } = plain();
    reporter.report({ phase: "template", item: "256 MiB, 1 vCPU" });
    vi.advanceTimersByTime(2340);
    reporter.report({ phase: "template", item: "256 MiB, 1 vCPU", finished: true });
    expect(lines()).toEqual([
      "booting template 256 MiB, 1 vCPU ...",
      "booting template 256 MiB, 1 vCPU: done in 2.3 s",
    ]);
  });

  test("steps at the same time are told apart", () => {
    const { reporter, lines } = plain();
    reporter.report({ phase: "bake", item: "a" });
    reporter.report({ phase: "setup", item: "kernel" });
    vi.advanceTimersByTime(1000);
    reporter.report({ phase: "bake", item: "a", finished: true });
    vi.advanceTimersByTime(1000);
    reporter.report({ phase: "setup", item: "kernel", finished: true });
    expect(lines()).toEqual([
      "baking a ...",
      "setup kernel ...",
      "baking a: done in 1.0 s",
      "setup kernel: done in 2.0 s",
    ]);
  });

  test("layers have a line for all, one each, and one now and then, however many events there are", () => {
    const { reporter, lines } = plain();
    for (const digit of "ab") reporter.report(layer(digit, { state: "waiting" }));
    for (let second = 0; second < 25; second++) {
      for (let i = 0; i < 100; i++) reporter.report(layer("a", { done: second * 4 * MB }));
      vi.advanceTimersByTime(1000);
    }
    for (const digit of "ab") reporter.report(layer(digit, { done: 100 * MB, state: "converting", finished: true }));
    expect(lines()).toEqual([
      "fetching 2 layers, 200 MB ...",
      "0 of 2 layers, 36 MB of 200 MB, 3.6 MB/s, 46 s left",
      expect.stringMatching(/^0 of 2 layers, 76 MB of 200 MB, .* left$/),
      "aaaaaaaaaaaa: 100 MB in 25.0 s (4 MB/s)",
      expect.stringMatching(/^bbbbbbbbbbbb: 100 MB in/),
      "2 layers: 200 MB in 25.0 s",
    ]);
    vi.advanceTimersByTime(60_000);
    expect(lines()).toHaveLength(6);
  });

  test("layers that are there are not counted among those that are fetched", () => {
    const { reporter, lines } = plain();
    for (const digit of "ab") reporter.report(layer(digit, { state: "waiting" }));
    reporter.report(layer("a", { state: "present", finished: true }));
    reporter.report(layer("b"));
    reporter.report(layer("b", { state: "converting", finished: true }));
    expect(lines()).toEqual([
      "fetching 1 layer, 100 MB ...",
      expect.stringMatching(/^bbbbbbbbbbbb: /),
      expect.stringMatching(/^1 layer: 100 MB in .*; 1 exists already$/),
    ]);
  });

  test("what broke off is said", () => {
    const { reporter, lines } = plain();
    reporter.report(layer("a", { retry: { attempt: 2, reason: "the connection broke", waitMs: 250 } }));
    expect(lines().at(-1)).toBe("aaaaaaaaaaaa: the connection broke; try 2 in 0.3 s");
  });

  test("nothing moves the cursor, and nothing comes when it is over", () => {
    const { reporter, lines } = plain();
    reporter.report(layer("a"));
    reporter.close();
    vi.advanceTimersByTime(60_000);
    expect(lines()).toEqual(["fetching 1 layer, 100 MB ..."]);
    for (const control of ["\r", "\x1b"]) expect(lines().join()).not.toContain(control);
  });
});

describe("the style", () => {
  const draws = (flags: object, env: NodeJS.ProcessEnv = {}, isTTY = true) => {
    const { stream, text } = fakeStream({ isTTY });
    const reporter = openReporter(flags, stream, env);
    reporter.report({ phase: "bake", item: "a" });
    reporter.close();
    if (text() === "") return "quiet";
    return text().includes("\x1b") ? "tty" : "plain";
  };

  test.each<[object, NodeJS.ProcessEnv, boolean, string]>([
    [{}, {}, true, "tty"],
    [{}, {}, false, "plain"],
    [{}, { TERM: "dumb" }, true, "plain"],
    [{}, { SUPERMACHINE_LOG: "info" }, true, "plain"],
    [{ progress: "plain" }, {}, true, "plain"],
    [{ progress: "tty" }, {}, false, "tty"],
    [{ progress: "quiet" }, {}, true, "quiet"],
    [{ quiet: true, progress: "tty" }, {}, true, "quiet"],
  ])("for %j, %j and a terminal: %j is %s", (flags, env, isTTY, expected) => {
    expect(draws(flags, env, isTTY)).toBe(expected);
  });
});

test("work that fails ends its progress", async () => {
  const output = capture("stderr");
  const work = withProgress({ progress: "tty" }, async (onProgress) => {
    onProgress({ phase: "bake", item: "a" });
    throw new Error("it failed");
  });
  await expect(work).rejects.toThrow("it failed");
  const text = output.text();
  vi.advanceTimersByTime(1_000);
  expect(output.text()).toBe(text);
});
