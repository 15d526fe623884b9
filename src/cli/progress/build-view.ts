import type { BuildEvent, OutputEvent, StepEvent } from "../../index.js";
import { shownLine } from "../../shown-line.js";
import { cut, displayWidth, type Look, paint } from "./line.js";
import type { LiveView } from "./live-screen.js";
import { OutputLines } from "./output-lines.js";
import { elapsed } from "./text.js";

/** Lines of a running step's output. */
const MOST_TAIL = 6;
/** Times further to the right would be far from what they belong to. */
const MOST_WIDTH = 110;

interface Running {
  event: StepEvent;
  startedAt: number;
  tail: string[];
}

type Mark = "running" | "done" | "failed" | "stopped";
const MARKS = {
  running: { sign: "▸", ascii: ">", colour: "cyan" },
  done: { sign: "✔", ascii: "+", colour: "green" },
  failed: { sign: "✘", ascii: "x", colour: "red" },
  stopped: { sign: "■", ascii: "-", colour: "yellow" },
} as const;

/** A build on a terminal: a line for each step that has ended, below them those that run with the last of their output. */
export class BuildView implements LiveView {
  readonly #look: Look;
  readonly #output = new OutputLines();
  readonly #running = new Map<number, Running>();
  readonly #settled: ((width: number) => string)[] = [];
  readonly #startedAt = performance.now();
  #ended = 0;
  #cached = 0;
  #total = 0;
  #closed = false;

  constructor(look: Look) {
    this.#look = look;
  }

  take(event: BuildEvent): void {
    if (event.kind === "warning") this.#warn(event.message, event);
    else if (event.kind === "output") this.#write(event);
    else if (event.state === "started") this.#start(event);
    else this.#end(event);
  }

  /** The build has ended: what is left is one line. */
  close(succeeded: boolean): void {
    this.#closed = true;
    if (!succeeded || this.#total === 0) return;
    this.#settled.push((width) => cut(this.#counts("built"), width, this.#look));
  }

  settled(width: number): string[] {
    return this.#settled.splice(0).map((line) => line(width));
  }

  frame(width: number, rows: number): string[] {
    if (this.#closed || this.#total === 0) return [];
    const running = [...this.#running.values()];
    const room = Math.floor((rows - 1 - running.length) / Math.max(1, running.length));
    const steps = running.flatMap((step) => [
      this.#line("running", step.event, this.#time(step), width),
      ...this.#tail(step, Math.min(MOST_TAIL, room), width),
    ]);
    // What does not fit is rather of the steps than of the sum.
    const shown = steps.length > rows - 1 ? this.#first(steps, rows - 1, width) : steps;
    return [...shown, cut(this.#counts("building"), width, this.#look)];
  }

  #start(event: StepEvent): void {
    this.#total = event.total;
    this.#running.set(event.number, { event, startedAt: performance.now(), tail: [] });
  }

  #write(event: OutputEvent): void {
    const step = this.#running.get(event.number);
    const lines = this.#output.take(event);
    step?.tail.push(...lines.filter((line) => line.trim() !== ""));
    step?.tail.splice(0, step.tail.length - MOST_TAIL);
  }

  #end(event: StepEvent): void {
    const { number, state, durationMs = 0 } = event;
    this.#output.end(number);
    this.#running.delete(number);
    const [mark, text] = ended(state, elapsed(durationMs));
    if (mark === "done") this.#ended++;
    if (state === "cached") this.#cached++;
    this.#settled.push((width) => this.#line(mark, event, text, width));
  }

  #warn(message: string, { file, line, rule }: { file: string; line: number; rule: string }): void {
    const text = shownLine(`warning: ${file}:${line}: ${message} (${rule})`);
    this.#settled.push(() => paint("yellow", text, this.#look));
  }

  #line(mark: Mark, { stage, number, total, title }: StepEvent, text: string, width: number): string {
    const { sign, ascii, colour } = MARKS[mark];
    const words = shownLine(title.split("\n", 1)[0] ?? "").replace(/\t/g, " ");
    const room = Math.min(width, MOST_WIDTH) - 3 - text.length;
    const label = cut(`[${shownLine(stage)} ${number}/${total}] ${words}`, room, this.#look);
    const gap = " ".repeat(Math.max(1, room - displayWidth(label) + 1));
    const begin = `${paint(colour, this.#look.unicode ? sign : ascii, this.#look)} ${label}${gap}`;
    return cut(begin + paint(mark === "failed" ? "red" : "dim", text, this.#look), width, this.#look);
  }

  #tail({ event, tail }: Running, count: number, width: number): string[] {
    if (count <= 0) return [];
    const begun = this.#output.begun(event.number);
    const lines = [...tail, ...(begun === undefined ? [] : [begun])].slice(-count);
    const margin = this.#look.unicode ? "  │ " : "  | ";
    return lines.map((line) =>
      paint("dim", cut(`${margin}${line.replace(/\t/g, "    ")}`, width, this.#look), this.#look),
    );
  }

  #first(lines: readonly string[], count: number, width: number): string[] {
    if (count <= 0) return [];
    const more = cut(`and ${lines.length - count + 1} more lines`, width, this.#look);
    return [...lines.slice(0, count - 1), more];
  }

  #time({ startedAt }: Running): string {
    return elapsed(performance.now() - startedAt);
  }

  #counts(doing: "building" | "built"): string {
    const time = elapsed(performance.now() - this.#startedAt);
    const cached = this.#cached === 0 ? "" : `, ${this.#cached} cached`;
    return doing === "building"
      ? `building ${time}: ${this.#ended} of ${this.#total} steps${cached}`
      : `built in ${time}: ${this.#total} ${this.#total === 1 ? "step" : "steps"}${cached}`;
  }
}

function ended(state: StepEvent["state"], time: string): [Mark, string] {
  if (state === "cached") return ["done", "cached"];
  if (state === "failed") return ["failed", `failed after ${time}`];
  return state === "stopped" ? ["stopped", `stopped after ${time}`] : ["done", time];
}
