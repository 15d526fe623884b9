import { UsageError } from "../errors.js";
import { signalNumber } from "../guest/index.js";

/** The C library keeps two of the kernel's for itself. */
const SIGRTMIN = 34;

/** A signal as docker and images name it: `SIGQUIT`, `quit`, `3` or `SIGRTMIN+3`; undefined for one that is none. */
export function parseSignal(text: string): NodeJS.Signals | number | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text) > 0 ? signalNumber(Number(text)) : undefined;
  const name = `SIG${text.toUpperCase().replace(/^SIG/, "")}`;
  const [, more] = /^SIGRTMIN(?:\+(\d{1,2}))?$/.exec(name) ?? [];
  if (name.startsWith("SIGRTMIN")) return signalNumber(SIGRTMIN + Number(more ?? 0));
  return signalNumber(name) === undefined ? undefined : (name as NodeJS.Signals);
}

/** What a workload is ended with: what is asked for, else what its image wants, else SIGTERM. @throws UsageError */
export function stopSignalOf(asked: string | undefined, ofImage: string | undefined): string {
  if (asked === undefined) return String((ofImage && parseSignal(ofImage)) || "SIGTERM");
  const signal = parseSignal(asked);
  if (signal !== undefined) return String(signal);
  throw new UsageError(`there is no signal ${JSON.stringify(asked)}`, {
    hint: "It is a name or number, such as QUIT.",
  });
}
