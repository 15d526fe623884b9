import type { ProgressEvent } from "../../index.js";
import type { Reporter } from "./index.js";
import { cut, finishedLine, type Look, runningLine, totalLine } from "./line.js";
import { type Step, Steps } from "./steps.js";
import { result, summary } from "./text.js";

/** As often as an eye can follow, and cheap. */
const REDRAW_MS = 100;
const CLEAR_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** What the terminal shows: NO_COLOR (no-color.org), and the character set of the locale. */
export function lookOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Look {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || "";
  return {
    colour: Boolean(stream.isTTY) && !env.NO_COLOR && env.TERM !== "dumb" && stream.hasColors?.() !== false,
    unicode: /utf-?8/i.test(locale) && env.TERM !== "linux",
  };
}

/**
 * Shows progress as lines that are drawn again in place: one for each step that runs and one for all layers. What is finished
 * stays above them. A frame is one write that goes over the former one, so that nothing flickers.
 */
export class TerminalReporter implements Reporter {
  readonly #stream: NodeJS.WriteStream;
  readonly #look: Look;
  readonly #steps = new Steps();
  /** Lines that stay, and are not written yet. */
  readonly #settled: ((width: number) => string)[] = [];
  /** Lengths of the lines that are to be drawn over. */
  #drawn: number[] = [];
  #columns = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WriteStream, look: Look) {
    this.#stream = stream;
    this.#look = look;
  }

  readonly report = (event: ProgressEvent): void => {
    const { step } = this.#steps.update(event);
    if (event.finished) this.#settle(step);
    if (this.#timer === undefined) {
      this.#draw();
      this.#timer = setInterval(() => this.#draw(), REDRAW_MS).unref();
    }
  };

  close(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#draw();
    this.#drawn = [];
  }

  #settle(step: Step): void {
    const { label, event } = step;
    const settle = (name: string, text: string) =>
      this.#settled.push((width) => finishedLine(name, text, width, this.#look));
    if (event.state !== "present") settle(label, result(step));
    const { layers } = this.#steps;
    if (event.phase !== "layer" || layers.finished < layers.count) return;
    const [name = "", text = ""] = summary(layers).split(/(?<=:) /);
    if (layers.count > 1 || layers.present > 0) settle(name, text);
    this.#steps.forgetLayers();
  }

  #draw(): void {
    const columns = this.#stream.columns || 80;
    // A terminal that was made narrower has broken the former lines.
    const height = this.#drawn.reduce((sum, length) => sum + Math.max(1, Math.ceil(length / columns)), 0);
    const lines = this.#frame(columns - 1);
    const settled = this.#settled.splice(0).map((line) => line(columns - 1));
    if (height === 0 && lines.length === 0 && settled.length === 0) return;
    // Going over broken lines would leave them marked as such, to be joined when it is made wider again.
    const broken = columns === this.#columns ? "" : CLEAR_BELOW;
    const up = height === 0 ? "" : `\r\x1b[${height}A${broken}`;
    this.#columns = columns;
    const text = [...settled, ...lines].map((line) => `${line}${CLEAR_LINE_END}\n`).join("");
    this.#stream.write(`${up}${text}${CLEAR_BELOW}`);
    this.#drawn = lines.map(visibleLength);
  }

  #frame(width: number): string[] {
    const { running, layers } = this.#steps;
    const lines = running.map((step) => runningLine(step, width, this.#look));
    if (layers.count > 1) lines.push(totalLine(layers, width, this.#look));
    // What has scrolled away cannot be drawn again. The cursor is on a line of its own.
    const room = Math.max(1, (this.#stream.rows || 24) - 1);
    if (lines.length <= room) return lines;
    const shown = lines.slice(0, room - 1);
    return [...shown, cut(`and ${lines.length - shown.length} more`, width, this.#look)];
  }
}

function visibleLength(line: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control sequences
  return line.replace(/\x1b\[[0-9;]*m/g, "").length;
}
