import { constants } from "node:os";

/** Linux's real-time signals, which Node has no names of. */
const FIRST_REAL_TIME = 34;
const LAST_REAL_TIME = 64;

/** Whether STOPSIGNAL can be this: a number, or a name with or without SIG, such as `RTMIN+3`. */
export function isSignal(text: string): boolean {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= LAST_REAL_TIME;
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name);
  if (realTime === null) return Object.hasOwn(constants.signals, `SIG${name}`);
  const offset = Number(realTime[3] ?? 0) * (realTime[2] === "-" ? -1 : 1);
  const signal = (realTime[1] === "MIN" ? FIRST_REAL_TIME : LAST_REAL_TIME) + offset;
  return signal >= FIRST_REAL_TIME && signal <= LAST_REAL_TIME;
}
