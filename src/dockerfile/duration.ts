const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Longer than any time; the expression below takes quadratically long. */
const MAX_LENGTH = 100;

/** Parses a time as Go writes it, such as `1m30s` or `1.5h`, into nanoseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  if (/^[+-]?0$/.test(text)) return 0;
  const whole = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (whole === null) return undefined;
  let total = 0;
  for (const [, amount, unit] of (whole[2] ?? "").matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    total += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  }
  const nanoseconds = Math.round(whole[1] === "-" ? -total : total);
  return Number.isSafeInteger(nanoseconds) ? nanoseconds : undefined;
}
