import prettyBytes from "pretty-bytes";
import type { OnProgress, ProgressEvent, ProgressPhase } from "../index.js";

const LABELS: Record<ProgressPhase, string> = {
  setup: "setup",
  accelerator: "accelerator",
  template: "booting template",
  layer: "converting layer",
  bake: "baking",
  push: "pushing",
  save: "saving",
};
const BAR_WIDTH = 24;
const REDRAW_MS = 100;

/** Shows progress on stderr: one line that is redrawn on a terminal, a line a finished step elsewhere. */
export function progressReporter(stream: NodeJS.WriteStream = process.stderr): OnProgress {
  return stream.isTTY ? terminalReporter(stream) : lineReporter(stream);
}

function lineReporter(stream: NodeJS.WritableStream): OnProgress {
  const started = new Map<string, number>();
  return (event) => {
    const text = describe(event);
    const start = started.get(text) ?? performance.now();
    if (!started.has(text)) {
      started.set(text, start);
      stream.write(`${text} ...\n`);
    }
    if (event.finished) stream.write(`${text}: done in ${seconds(start)}\n`);
  };
}

function terminalReporter(stream: NodeJS.WriteStream): OnProgress {
  const running = new Map<string, { event: ProgressEvent; start: number }>();
  let drawn = 0;
  const clear = () => stream.write("\r\x1b[2K");
  return (event) => {
    const text = describe(event);
    const step = running.get(text) ?? { event, start: performance.now() };
    step.event = event;
    if (event.finished) {
      running.delete(text);
      clear();
      stream.write(`${text}: done in ${seconds(step.start)}\n`);
    } else {
      const isNew = !running.has(text);
      running.set(text, step);
      if (!isNew && performance.now() - drawn < REDRAW_MS) return;
    }
    drawn = performance.now();
    const current = [...running.values()].at(-1);
    if (!current) return;
    clear();
    stream.write(`${describe(current.event)} ${bar(current.event)}`.slice(0, (stream.columns || 80) - 1));
  };
}

function describe({ phase, item }: ProgressEvent): string {
  return `${LABELS[phase]} ${item.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, "$1")}`;
}

function bar({ done, total }: ProgressEvent): string {
  if (done === undefined || !total) return "...";
  const filled = Math.round((Math.min(done, total) / total) * BAR_WIDTH);
  const sizes = `${prettyBytes(done)} of ${prettyBytes(total)}`;
  return `[${"=".repeat(filled)}${" ".repeat(BAR_WIDTH - filled)}] ${sizes}`;
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}
