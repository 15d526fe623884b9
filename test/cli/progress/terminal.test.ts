import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Look } from "../../../src/cli/progress/line.js";
import { lookOf, TerminalReporter } from "../../../src/cli/progress/terminal.js";
import type { ProgressEvent } from "../../../src/index.js";
import { Screen } from "./screen.js";

const ASCII: Look = { unicode: false, colour: false };
const FULL: Look = { unicode: true, colour: true };
const MB = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function layer(digit: string, event: Partial<ProgressEvent> = {}): ProgressEvent {
  return { phase: "layer", item: `sha256:${digit.repeat(64)}`, done: 0, total: 100 * MB, state: "fetching", ...event };
}

function onScreen(columns: number, rows = 24, look: Look = ASCII) {
  const screen = new Screen(columns, rows);
  return { screen, reporter: new TerminalReporter(screen.stream, look) };
}

/** Downloads 10 MB a second for as long as is said. */
function advance(reporter: TerminalReporter, digit: string, seconds: number): void {
  for (let ms = 0; ms <= seconds * 1000; ms += 100) {
    reporter.report(layer(digit, { done: ms * 10_000 }));
    vi.advanceTimersByTime(100);
  }
}

describe("a layer", () => {
  test("has a bar with share, bytes, rate, time left and what is done", () => {
    const { screen, reporter } = onScreen(100);
    advance(reporter, "a", 4);
    expect(screen.text).toEqual([
      expect.stringMatching(/^a{12} \[={14} {21}\] {2}40% {4}40 MB of 100 MB {1,3}[\d.]+ MB\/s {3}\d s fetching$/),
    ]);
  });

  test("is one line that says how long it took when it is finished", () => {
    const { screen, reporter } = onScreen(100);
    advance(reporter, "a", 4);
    reporter.report(layer("a", { done: 100 * MB, state: "converting", finished: true }));
    reporter.close();
    expect(screen.text).toEqual(["aaaaaaaaaaaa 100 MB in 4.1 s (24.4 MB/s)"]);
  });

  test("says why it is tried again, and then that it was", () => {
    const { screen, reporter } = onScreen(100);
    advance(reporter, "a", 2);
    reporter.report(layer("a", { done: 20 * MB, retry: { attempt: 2, reason: "the connection broke", waitMs: 500 } }));
    vi.advanceTimersByTime(100);
    expect(screen.text[0]).toMatch(/^a{12} \[=+ +\] the connection broke; try 2 in 0\.5 s$/);
    advance(reporter, "a", 3);
    expect(screen.text[0]).toMatch(/fetching, try 2$/);
  });

  test("that stands still has a rate that falls, and a share that stays", () => {
    const { screen, reporter } = onScreen(100);
    advance(reporter, "a", 4);
    vi.advanceTimersByTime(60_000);
    expect(screen.text[0]).toMatch(/ 40% +40 MB of 100 MB +\d+ B\/s/);
  });

  test.each([
    ["more than was promised", { done: 300, total: 100 }, /100%/],
    ["no size", { total: 0 }, /^a{12} 0\.\d s$/],
  ])("with %s is no trouble", (_what, event, expected) => {
    const { screen, reporter } = onScreen(100);
    reporter.report(layer("a", event));
    vi.advanceTimersByTime(100);
    expect(screen.text[0]).toMatch(expected);
  });
});

describe("several layers", () => {
  const digits = [..."0123456789abcdef"];

  test("have a line for all of them; those that wait have none of their own", () => {
    const { screen, reporter } = onScreen(100);
    for (const digit of digits) reporter.report(layer(digit, { state: "waiting" }));
    advance(reporter, "0", 4);
    expect(screen.text).toHaveLength(2);
    expect(screen.text[1]).toMatch(/^0 of 16 layers \[=+ +\] {3}2% +40 MB of 1\.6 GB {3}10 MB\/s 2 min 36 s$/);
  });

  test("leave a summary, in which those that were there are counted", () => {
    const { screen, reporter } = onScreen(100);
    for (const digit of "abc") reporter.report(layer(digit, { state: "waiting" }));
    advance(reporter, "a", 1);
    for (const digit of "bc") reporter.report(layer(digit, { state: "present", done: 100 * MB, finished: true }));
    reporter.report(layer("a", { done: 100 * MB, state: "converting", finished: true }));
    reporter.close();
    expect(screen.text).toEqual([
      expect.stringMatching(/^a{12} 100 MB in/),
      "1 layer: 100 MB in 1.1 s; 2 exist already",
    ]);
  });

  test("that are all there are one line", () => {
    const { screen, reporter } = onScreen(100);
    for (const digit of digits) reporter.report(layer(digit, { state: "waiting" }));
    for (const digit of digits) reporter.report(layer(digit, { state: "present", finished: true }));
    reporter.close();
    expect(screen.text).toEqual(["16 layers: all exist already"]);
  });

  test("that are more than the screen has lines are counted", () => {
    const { screen, reporter } = onScreen(100, 6);
    for (let i = 0; i < 30; i++) {
      for (const digit of digits) reporter.report(layer(digit, { done: i * MB }));
      vi.advanceTimersByTime(100);
    }
    expect(screen.text).toHaveLength(5);
    expect(screen.text.at(-1)).toBe("and 13 more");
  });
});

describe("the screen", () => {
  test("shows steps of every kind at the same time, what is finished above", () => {
    const { screen, reporter } = onScreen(80);
    reporter.report({ phase: "template", item: "256 MiB, 1 vCPU" });
    advance(reporter, "a", 2);
    reporter.report({ phase: "template", item: "256 MiB, 1 vCPU", finished: true });
    vi.advanceTimersByTime(100);
    expect(screen.text).toEqual([
      "booting template 256 MiB, 1 vCPU done in 2.1 s",
      expect.stringMatching(/^a{12} \[=+ +\] {2}20% +20 MB of 100 MB {3}10 MB\/s {3}8 s fetching$/),
    ]);
  });

  test.each([40, 41, 50, 60, 79, 80, 100, 132, 200])("of %i columns is never overrun", (columns) => {
    for (const look of [ASCII, FULL]) {
      const { screen, reporter } = onScreen(columns, 24, look);
      for (const digit of "abc") reporter.report(layer(digit, { state: "waiting" }));
      reporter.report({ phase: "setup", item: "x".repeat(300) });
      reporter.report({ phase: "bake", item: "a-name" });
      advance(reporter, "a", 3);
      reporter.report(layer("b", { retry: { attempt: 3, reason: "it did not answer in time", waitMs: 2_000 } }));
      vi.advanceTimersByTime(100);
      expect(screen.text).toHaveLength(5);
      expect(screen.text.map((line) => line.length).filter((length) => length >= columns)).toEqual([]);
      expect(screen.text.find((line) => line.startsWith("aaaa"))).toMatch(/^a{12} .*30%/);
      reporter.report({ phase: "setup", item: "x".repeat(300), finished: true });
      reporter.close();
      expect(screen.text).toHaveLength(5);
    }
  });

  test("may be made narrower: the broken lines are drawn over", () => {
    const { screen, reporter } = onScreen(100);
    screen.write("before\n");
    advance(reporter, "a", 1);
    const reflowed = new Screen(50);
    reflowed.write(`${screen.text.join("\n")}\n`);
    screen.columns = 50;
    screen.write = (text) => reflowed.write(text);
    advance(reporter, "a", 2);
    expect(reflowed.text).toEqual(["before", expect.stringMatching(/^a{12} \[=+ +\] {2}20%/)]);
  });

  test("is drawn in one write a frame, ten times a second and not more", () => {
    const { screen, reporter } = onScreen(100);
    for (let done = 0; done < 10_000; done++) reporter.report(layer("a", { done }));
    expect(screen.writes).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(screen.writes).toBe(11);
  });

  test("is left alone when the work has ended, however it ended", () => {
    const { screen, reporter } = onScreen(100);
    advance(reporter, "a", 1);
    reporter.close();
    screen.write("supermachine: it failed\n");
    vi.advanceTimersByTime(1_000);
    reporter.close();
    expect(screen.text).toEqual([expect.stringMatching(/^a{12} /), "supermachine: it failed"]);
  });

  test("has nothing on it when nothing is done", () => {
    const { screen, reporter } = onScreen(100);
    reporter.close();
    expect(screen.writes).toBe(0);
  });
});

describe("what a terminal can show", () => {
  const look = (env: NodeJS.ProcessEnv, stream: object = { isTTY: true }) => lookOf(stream as NodeJS.WriteStream, env);

  test("is in its environment", () => {
    expect(look({ LANG: "de_DE.UTF-8" })).toEqual({ unicode: true, colour: true });
    expect(look({ LANG: "C" })).toEqual({ unicode: false, colour: true });
    expect(look({ LANG: "C", LC_ALL: "C.utf8" })).toEqual({ unicode: true, colour: true });
    expect(look({ LANG: "C.UTF-8", NO_COLOR: "1" })).toEqual({ unicode: true, colour: false });
    expect(look({ LANG: "C.UTF-8", TERM: "linux" })).toEqual({ unicode: false, colour: true });
    expect(look({}, { isTTY: true, hasColors: () => false })).toEqual({ unicode: false, colour: false });
    expect(look({}, {})).toMatchObject({ colour: false });
  });

  test("without colours gets none", () => {
    const screen = new Screen(100);
    const write = vi.spyOn(screen, "write");
    const reporter = new TerminalReporter(screen.stream, { unicode: true, colour: false });
    advance(reporter, "a", 1);
    expect(
      write.mock.calls
        .join("")
        .split("\x1b")
        .filter((piece) => /^\[[0-9;]*m/.test(piece)),
    ).toEqual([]);
    expect(screen.text[0]).toMatch(/^a{12} ━+╌+ {2}10%/);
  });
});
