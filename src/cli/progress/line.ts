import { styleText } from "node:util";
import truncatedWidth from "fast-string-truncated-width";
import type { LayerTotals, Step } from "./steps.js";
import { amount, elapsed, rateText, remaining, retryText } from "./text.js";

/** What a terminal can show. */
export interface Look {
  unicode: boolean;
  colour: boolean;
}

type Colour = "cyan" | "green" | "yellow" | "red" | "dim";

/** A part of a line. Those of lower rank are left out first when the line is too long. */
interface Part {
  text: string;
  rank: number;
  colour?: Colour;
}

const LEAST_BAR = 8;
/** A share in figures, and the space before it. */
const PERCENT = 5;
const MOST_BAR = 40;

/** One running step, no longer than `width`. */
export function runningLine(step: Step, width: number, look: Look): string {
  const { event, label, startedAt, rate, tries } = step;
  const { done = 0, total, retry, state } = event;
  const parts: Part[] = [{ text: label, rank: 9 }];
  if (retry) parts.push({ text: retryText(retry), rank: 8, colour: "yellow" });
  if (!total)
    return compose([...parts, { text: elapsed(performance.now() - startedAt), rank: 5, colour: "dim" }], width, look);
  if (!retry) parts.push(...advance(done, total, rate.sample(done)));
  const trying = tries > 1 ? `, try ${tries}` : "";
  if (state !== undefined && !retry) parts.push({ text: state + trying, rank: 4, colour: "dim" });
  return compose(parts, width, look, done / total);
}

/** How far all layers are, no longer than `width`. */
export function totalLine({ finished, count, done, total, rate }: LayerTotals, width: number, look: Look): string {
  const parts: Part[] = [{ text: `${finished} of ${count} layers`, rank: 9 }];
  return compose([...parts, ...advance(done, total, rate.sample(done))], width, look, total > 0 ? done / total : 0);
}

/** What a finished step leaves, no longer than `width`. */
export function finishedLine(label: string, result: string, width: number, look: Look): string {
  const mark = look.unicode ? `${paint("green", "✔", look)} ` : "";
  const text = cut(`${label} ${result}`, look.unicode ? width - 2 : width, look);
  return mark + text.slice(0, label.length) + paint("dim", text.slice(label.length), look);
}

/** Cuts text that is longer than `width`. */
export function cut(text: string, width: number, { unicode }: Look): string {
  const mark = unicode ? "…" : "...";
  const { index, truncated, ellipsed } = truncatedWidth(text, { limit: Math.max(0, width), ellipsis: mark });
  if (!truncated) return text;
  return ellipsed ? text.slice(0, index) + mark : mark.slice(0, Math.max(0, width));
}

/** How many columns of a terminal a text takes, without what colours it. */
export function displayWidth(text: string): number {
  return truncatedWidth(text).width;
}

/** Padded, so that a line does not jump about as its figures change. */
function advance(done: number, total: number, speed: number | undefined): Part[] {
  const left = remaining(done, total, speed);
  const percent = `${Math.min(100, Math.floor((done / Math.max(total, 1)) * 100))}%`;
  return [
    { text: percent.padStart(PERCENT - 1), rank: 7 },
    { text: amount(done, total).padStart(18), rank: 6 },
    { text: (speed === undefined ? "" : rateText(speed)).padStart(9), rank: 5 },
    { text: (left ?? "").padStart(5), rank: 3 },
  ];
}

/** Joins the parts that have room, the more important ones first; a bar behind the first one takes what is left. */
function compose(parts: readonly Part[], width: number, look: Look, share?: number): string {
  const [first, ...others] = parts;
  if (first === undefined) return "";
  const label = cut(first.text, width, look);
  let room = width - label.length;
  const take = (length: number) => {
    const fits = length + 1 <= room;
    if (fits) room -= length + 1;
    return fits;
  };
  // How far it is shows in figures first.
  const hasBar = share !== undefined && room > LEAST_BAR + 1 + PERCENT && take(LEAST_BAR);
  const byRank = [...others].sort((a, b) => b.rank - a.rank);
  const kept = new Set(byRank.filter(({ text }) => take(text.length)));
  const shown = others.filter((part) => kept.has(part)).map(({ text, colour }) => paint(colour, text, look));
  const bars = hasBar ? [bar(share, Math.min(LEAST_BAR + room, MOST_BAR), look)] : [];
  return [paint(first.colour, label, look), ...bars, ...shown].join(" ").trimEnd();
}

function bar(share: number, width: number, look: Look): string {
  const cells = look.unicode ? width : width - 2;
  const filled = Math.round(Math.min(1, Math.max(0, share)) * cells);
  const rest = cells - filled;
  if (!look.unicode) return `[${"=".repeat(filled)}${" ".repeat(rest)}]`;
  return paint("cyan", "━".repeat(filled), look) + paint("dim", (look.colour ? "━" : "╌").repeat(rest), look);
}

/** Colours a text, where there are colours. */
export function paint(colour: Colour | undefined, text: string, look: Look): string {
  return look.colour && colour !== undefined && text.trim() !== "" ? styleText(colour, text) : text;
}
