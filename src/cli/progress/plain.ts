import prettyBytes from "pretty-bytes";
import type { ProgressEvent } from "../../index.js";
import type { Reporter } from "./index.js";
import { Steps } from "./steps.js";
import { amount, rateText, remaining, result, retryText, summary } from "./text.js";

/** How often a line says how far the layers have come. */
const HEARTBEAT_MS = 10_000;

/** Shows progress as lines, a few for each thing that is done: for files and the logs of CI systems. */
export class PlainReporter implements Reporter {
  readonly #stream: NodeJS.WritableStream;
  readonly #steps = new Steps();
  #hasAnnounced = false;
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  readonly report = (event: ProgressEvent): void => {
    const { step, isNew } = this.#steps.update(event);
    if (event.phase === "layer") this.#layer(event);
    else if (isNew && !event.finished) this.#line(`${step.label} ...`);
    if (event.retry) this.#line(`${step.label}: ${retryText(event.retry)}`);
    if (event.finished && event.state !== "present") this.#line(`${step.label}: ${result(step)}`);
    if (event.phase === "layer") this.#endLayers();
  };

  close(): void {
    clearInterval(this.#heartbeat);
  }

  #layer({ state }: ProgressEvent): void {
    if (this.#hasAnnounced || state === "waiting" || state === "present") return;
    this.#hasAnnounced = true;
    const { count, present, done, total, rate } = this.#steps.layers;
    rate.sample(done);
    const missing = count - present;
    this.#line(`${state} ${missing} ${missing === 1 ? "layer" : "layers"}, ${prettyBytes(total)} ...`);
    this.#heartbeat = setInterval(() => this.#howFar(), HEARTBEAT_MS).unref();
  }

  #howFar(): void {
    const { count, finished, done, total, rate } = this.#steps.layers;
    const speed = rate.sample(done);
    const left = remaining(done, total, speed);
    const facts = [`${finished} of ${count} layers`, amount(done, total)];
    if (speed !== undefined) facts.push(rateText(speed));
    if (left !== undefined) facts.push(`${left} left`);
    this.#line(facts.join(", "));
  }

  #endLayers(): void {
    const { layers } = this.#steps;
    if (layers.finished < layers.count) return;
    if (layers.count > 1 || layers.present > 0) this.#line(summary(layers));
    clearInterval(this.#heartbeat);
    this.#hasAnnounced = false;
    this.#steps.forgetLayers();
  }

  #line(text: string): void {
    this.#stream.write(`${text}\n`);
  }
}
