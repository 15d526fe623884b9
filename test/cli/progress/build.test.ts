import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type BuildProgressStyle, openBuildReporter, withBuildProgress } from "../../../src/cli/progress/build.js";
import { displayWidth } from "../../../src/cli/progress/line.js";
import type { BuildEvent, OutputEvent, StepEvent } from "../../../src/index.js";
import { fakeStream } from "../streams.js";
import { Screen } from "./screen.js";

const ENV = { LANG: "C", NO_COLOR: "1" };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function step(number: number, state: StepEvent["state"], title = "RUN make", durationMs?: number): StepEvent {
  return { kind: "step", number, total: 4, stage: "app", title, state, durationMs };
}

function output(number: number, text: string): OutputEvent {
  return { kind: "output", number, stream: "stdout", bytes: Buffer.from(text) };
}

function onScreen(columns: number, rows = 24, style: BuildProgressStyle = "auto") {
  const screen = new Screen(columns, rows);
  const reporter = openBuildReporter(style, screen.stream, ENV);
  const show = (...events: BuildEvent[]) => {
    for (const event of events) reporter.onBuild(event);
    vi.advanceTimersByTime(100);
    return screen.text;
  };
  return { screen, reporter, show };
}

describe("on a terminal", () => {
  test("steps that run have their time and the last of their output; those that have ended are one line", () => {
    const { screen, reporter, show } = onScreen(60);
    show(step(1, "started", "COPY . ."), step(1, "cached", "COPY . .", 1));
    show(step(2, "started"), output(2, "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"));
    expect(screen.text).toEqual([
      expect.stringMatching(/^\+ \[app 1\/4\] COPY \. \. +cached$/),
      expect.stringMatching(/^> \[app 2\/4\] RUN make +0\.\d s$/),
      ...["two", "three", "four", "five", "six", "seven"].map((line) => `  | ${line}`),
      expect.stringMatching(/^building 0\.\d s: 1 of 4 steps, 1 cached$/),
    ]);
    show(step(2, "finished", "RUN make", 2345));
    reporter.close(true);
    expect(screen.text).toEqual([
      expect.stringMatching(/^\+ \[app 1\/4\] COPY \. \. +cached$/),
      expect.stringMatching(/^\+ \[app 2\/4\] RUN make +2\.3 s$/),
      expect.stringMatching(/^built in 0\.\d s: 4 steps, 1 cached$/),
    ]);
  });

  test("what failed and what was stopped stays, and nothing says that it was built", () => {
    const { screen, reporter, show } = onScreen(60);
    show(step(1, "started"), step(2, "started", "RUN sleep 9"), output(2, "waiting\n"));
    show(step(1, "failed", "RUN make", 100), step(2, "stopped", "RUN sleep 9", 200));
    reporter.close(false);
    expect(screen.text).toEqual([
      expect.stringMatching(/^x \[app 1\/4\] RUN make +failed after 0\.1 s$/),
      expect.stringMatching(/^- \[app 2\/4\] RUN sleep 9 +stopped after 0\.2 s$/),
    ]);
  });

  test.each([20, 40, 80, 200])("no line is wider than %d columns, whatever the commands write", (columns) => {
    const { show } = onScreen(columns);
    const lines = show(
      step(1, "started", `RUN ${"x".repeat(300)}`),
      output(1, `${"世界".repeat(200)}\n${"long ".repeat(100)}\n\ttab\n👩‍👩‍👧‍👦`),
    );
    for (const line of lines) expect(displayWidth(line)).toBeLessThan(columns);
  });

  test("more steps than there are rows are told as a number, above the sum", () => {
    const { show } = onScreen(60, 8);
    const many = Array.from({ length: 20 }, (_, index) => step(index + 1, "started"));
    const lines = show(...many, output(1, "a\nb\n"));
    expect(lines).toHaveLength(7);
    expect(lines.at(-2)).toBe("and 15 more lines");
    expect(lines.at(-1)).toMatch(/^building/);
  });

  test("what a command writes sends nothing to the terminal but words", () => {
    const { screen, show } = onScreen(60);
    const title = "RUN \x1b[2Jtitle";
    show(step(1, "started", title), output(1, "\x1b]0;owned\x07\x1b[2J\x1b[Hhello\x9b1A\n\x1b[31mred"));
    expect(screen.text).toContainEqual("  | hello");
    expect(screen.text).toContain("  | red");
    expect(screen.text[0]).toContain("RUN title");
  });

  test("a screen that becomes narrower and wider again shows each step once", () => {
    const { screen, reporter, show } = onScreen(80);
    show(step(1, "started", `RUN ${"word ".repeat(30)}`), output(1, "x".repeat(70)));
    screen.columns = 30;
    vi.advanceTimersByTime(100);
    screen.columns = 100;
    vi.advanceTimersByTime(100);
    show(step(1, "finished"));
    reporter.close(true);
    expect(screen.text.filter((line) => line.startsWith("+ [app 1/4]"))).toHaveLength(1);
  });
});

describe("as lines", () => {
  test("each line of output has its step's number, also what looks like another's", () => {
    const { stream, text } = fakeStream();
    const { onBuild } = openBuildReporter("plain", stream, ENV);
    onBuild(step(1, "started", "RUN evil\nmore"));
    onBuild(output(1, "#2 done in 1.0 s\r\n\x85#3 cached\x0b\n\u2028#4 cached"));
    onBuild(step(1, "finished", "RUN evil", 1000));
    onBuild({ kind: "warning", rule: "R", message: "m\n#5 x", file: "F", line: 2 });
    expect(text().split("\n")).toEqual([
      "#1 [app 1/4] RUN evil",
      "#1 #2 done in 1.0 s",
      "#1 #3 cached",
      "#1 #4 cached",
      "#1 done in 1.0 s",
      "warning: F:2: m#5 x (R)",
      "",
    ]);
  });

  test("rawjson is one event a line, which a terminal may show", () => {
    const { stream, chunks } = fakeStream();
    const { onBuild } = openBuildReporter("rawjson", stream, ENV);
    const bytes = Buffer.from("世\n\x1b[2J\x9b1A");
    onBuild({ ...output(1, ""), bytes: bytes.subarray(0, 1) });
    onBuild({ ...output(1, ""), bytes: bytes.subarray(1) });
    const events = chunks.map((line) => JSON.parse(line));
    expect(events.map(({ text }) => text).join("")).toBe(bytes.toString());
    expect(events[0]).toMatchObject({ kind: "output", number: 1, time: expect.stringMatching(/^\d{4}-.*Z$/) });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: there are none
    expect(chunks.join("").replaceAll("\n", "")).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
  });

  test("quiet shows nothing, and what fails fails", async () => {
    const { stream, text } = fakeStream({ isTTY: true });
    const failed = withBuildProgress(
      "quiet",
      async ({ onBuild }) => {
        onBuild(step(1, "started"));
        throw new Error("failed");
      },
      stream,
    );
    await expect(failed).rejects.toThrow("failed");
    expect(text()).toBe("");
  });
});
