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

/** Parses a time as Go writes it, such as `1m30s` or `1.5h`, into nanoseconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  const whole = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (whole === null || text.length > 100) return undefined;
  let total = 0;
  for (const [, amount, unit] of (whole[2] ?? "").matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    total += Number(amount) * (UNITS[unit ?? ""] ?? 0);
  }
  const nanoseconds = Math.round(whole[1] === "-" ? -total : total);
  return Number.isSafeInteger(nanoseconds) ? nanoseconds : undefined;
}
