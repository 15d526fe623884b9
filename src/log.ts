/** From the least to the most. */
export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What `SUPERMACHINE_LOG` asks for; nothing where it is unset or no level. Read at every call, as every setting is. */
export function logLevel(env: NodeJS.ProcessEnv = process.env): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === env.SUPERMACHINE_LOG);
}

/**
 * Writes a line to standard error when `SUPERMACHINE_LOG` asks for as much. `warn` is of what went wrong and was mended,
 * `info` of what was done, `debug` of every step. No secret may be in `text`.
 * @param subject what it is about, such as `registry`
 */
export function log(level: LogLevel, subject: string, text: string): void {
  const wanted = logLevel();
  if (wanted === undefined || LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(wanted)) return;
  process.stderr.write(`${new Date().toISOString()} ${level.padEnd(5)} ${subject}: ${text}\n`);
}
