import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { progressReporter } from "../../src/cli/progress.js";
import { fakeStream } from "./streams.js";

const DIGEST = `sha256:${"0123456789ab".padEnd(64, "c")}`;
const layer = { phase: "layer", item: DIGEST } as const;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("where stderr is no terminal", () => {
  test("each step has a line when it starts and one when it is done", () => {
    const { stream, text } = fakeStream();
    const report = progressReporter(stream);
    report({ phase: "template", item: "256 MiB, 1 vCPU" });
    vi.advanceTimersByTime(2340);
    report({ phase: "template", item: "256 MiB, 1 vCPU", finished: true });
    expect(text()).toBe("booting template 256 MiB, 1 vCPU ...\nbooting template 256 MiB, 1 vCPU: done in 2.3 s\n");
  });

  test("a step's advance is not shown, and a layer is known by the start of its digest", () => {
    const { stream, text } = fakeStream();
    const report = progressReporter(stream);
    for (let done = 0; done <= 100; done++) report({ ...layer, done, total: 100 });
    expect(text()).toBe("converting layer sha256:0123456789ab ...\n");
  });

  test("steps at the same time are told apart", () => {
    const { stream, text } = fakeStream();
    const report = progressReporter(stream);
    report({ phase: "bake", item: "a" });
    report({ phase: "setup", item: "kernel" });
    vi.advanceTimersByTime(1000);
    report({ phase: "bake", item: "a", finished: true });
    vi.advanceTimersByTime(1000);
    report({ phase: "setup", item: "kernel", finished: true });
    expect(text()).toBe("baking a ...\nsetup kernel ...\nbaking a: done in 1.0 s\nsetup kernel: done in 2.0 s\n");
  });

  test("nothing moves the cursor", () => {
    const { stream, text } = fakeStream({ isTTY: false });
    const report = progressReporter(stream);
    report({ ...layer, done: 1, total: 2 });
    report({ ...layer, finished: true });
    expect(text()).not.toContain("\r");
    expect(text()).not.toContain("\x1b");
    expect(text()).toMatch(/done in/);
  });
});

describe("on a terminal", () => {
  const CLEAR = "\r\x1b[2K";

  test("the running step is one line that is drawn again, and is left as done", () => {
    const { stream, chunks } = fakeStream({ isTTY: true, columns: 100 });
    const report = progressReporter(stream);
    report({ ...layer, done: 0, total: 2_000_000 });
    vi.advanceTimersByTime(200);
    report({ ...layer, done: 1_000_000, total: 2_000_000 });
    vi.advanceTimersByTime(300);
    report({ ...layer, done: 2_000_000, total: 2_000_000, finished: true });
    expect(chunks).toEqual([
      CLEAR,
      `converting layer sha256:0123456789ab [${" ".repeat(24)}] 0 B of 2 MB`,
      CLEAR,
      `converting layer sha256:0123456789ab [${"=".repeat(12)}${" ".repeat(12)}] 1 MB of 2 MB`,
      CLEAR,
      "converting layer sha256:0123456789ab: done in 0.5 s\n",
    ]);
  });

  test("it is not drawn more often than an eye can see", () => {
    const { stream, chunks } = fakeStream({ isTTY: true });
    const report = progressReporter(stream);
    for (let done = 0; done < 1000; done++) report({ ...layer, done, total: 1000 });
    expect(chunks).toHaveLength(2);
    vi.advanceTimersByTime(101);
    report({ ...layer, done: 999, total: 1000 });
    expect(chunks).toHaveLength(4);
  });

  test("when one step ends the one that still runs is shown", () => {
    const { stream, chunks } = fakeStream({ isTTY: true });
    const report = progressReporter(stream);
    report({ phase: "template", item: "x" });
    report({ phase: "bake", item: "y" });
    report({ phase: "bake", item: "y", finished: true });
    expect(chunks.slice(-3)).toEqual(["baking y: done in 0.0 s\n", CLEAR, "booting template x ..."]);
  });

  test("a line never wraps", () => {
    const { stream, chunks } = fakeStream({ isTTY: true, columns: 40 });
    progressReporter(stream)({ phase: "setup", item: "x".repeat(200), done: 1, total: 2 });
    expect(chunks.at(-1)).toHaveLength(39);
  });

  test("more than was promised, or no size at all, is no trouble", () => {
    const { stream, chunks } = fakeStream({ isTTY: true, columns: 100 });
    const report = progressReporter(stream);
    report({ ...layer, done: 300, total: 100 });
    expect(chunks.at(-1)).toContain(`[${"=".repeat(24)}] 300 B of 100 B`);
    report({ phase: "setup", item: "x", done: 5, total: 0 });
    expect(chunks.at(-1)).toBe("setup x ...");
    report({ phase: "setup", item: "y", done: 5 });
    expect(chunks.at(-1)).toBe("setup y ...");
  });
});
