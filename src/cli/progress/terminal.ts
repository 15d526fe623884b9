import type { ProgressEvent } from "../../index.js";
import type { Reporter } from "./index.js";
import { finishedLine, type Look, runningLine, totalLine } from "./line.js";
import { LiveScreen, type LiveView } from "./live-screen.js";
import { type Step, Steps } from "./steps.js";
import { result, summary } from "./text.js";

/** What the terminal shows: NO_COLOR (no-color.org), and the character set of the locale. */
export function lookOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Look {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || "";
  return {
    colour: Boolean(stream.isTTY) && !env.NO_COLOR && env.TERM !== "dumb" && stream.hasColors?.() !== false,
    unicode: /utf-?8/i.test(locale) && env.TERM !== "linux",
  };
}

/** Shows progress as lines that are drawn again in place: one for each step that runs and one for all layers. */
export class TerminalReporter implements Reporter {
  readonly #view: ProgressView;
  readonly #screen: LiveScreen;

  constructor(stream: NodeJS.WriteStream, look: Look) {
    this.#view = new ProgressView(look);
    this.#screen = new LiveScreen(stream, look, [this.#view]);
  }

  readonly report = (event: ProgressEvent): void => {
    this.#view.take(event);
    this.#screen.begin();
  };

  close(): void {
    this.#screen.close();
  }
}

/** What events of progress come to. */
export class ProgressView implements LiveView {
  readonly #look: Look;
  readonly #steps = new Steps();
  /** Lines that stay, and are not written yet. */
  readonly #settled: ((width: number) => string)[] = [];

  constructor(look: Look) {
    this.#look = look;
  }

  take(event: ProgressEvent): void {
    const { step } = this.#steps.update(event);
    if (event.finished) this.#settle(step);
  }

  settled(width: number): string[] {
    return this.#settled.splice(0).map((line) => line(width));
  }

  frame(width: number): string[] {
    const { running, layers } = this.#steps;
    const lines = running.map((step) => runningLine(step, width, this.#look));
    if (layers.count > 1) lines.push(totalLine(layers, width, this.#look));
    return lines;
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
}
