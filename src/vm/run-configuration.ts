import { UsageError } from "../errors.js";
import type { Rlimits } from "./rlimits.js";

/** How an image's processes are run: its OCI configuration with the caller's changes applied. */
export interface RunConfiguration {
  entrypoint: string[];
  cmd: string[];
  /** Variables by name. */
  env: Record<string, string>;
  workdir: string;
  /** `name`, `uid`, `name:group` or `uid:gid`; empty means root. */
  user: string;
  /** Limits of their resources. */
  ulimits?: Rlimits | undefined;
  /** The ports that the image says its own command listens on, as `80/tcp`. */
  exposedPorts?: string[] | undefined;
  /** What the image wants to be ended with, instead of SIGTERM. */
  stopSignal?: string | undefined;
  /** How the image says to find out whether its own command is well. */
  healthcheck?: Healthcheck | undefined;
}

/** An image's HEALTHCHECK. */
export interface Healthcheck {
  /** `["NONE"]`, `["CMD", ...argv]` or `["CMD-SHELL", command]`. */
  test: string[];
  /** In milliseconds, and absent for the default. */
  intervalMs?: number | undefined;
  timeoutMs?: number | undefined;
  startPeriodMs?: number | undefined;
  retries?: number | undefined;
}

/** What a caller wants otherwise than the image. */
export interface CommandChanges {
  /** Replaces the image's arguments. */
  cmd?: readonly string[] | undefined;
  /** Replaces the image's entrypoint, and with it the image's own arguments. */
  entrypoint?: readonly string[] | undefined;
}

/** The command that the image runs by itself, by docker's rules for combining entrypoint and arguments. */
export function imageCommand(config: RunConfiguration, changes: CommandChanges = {}): string[] {
  const cmd = changes.cmd ?? (changes.entrypoint ? [] : config.cmd);
  const argv = [...(changes.entrypoint ?? config.entrypoint), ...cmd];
  if (argv.length > 0) return argv;
  throw new UsageError("the image has no command of its own", { hint: "Name one: `supermachine run IMAGE -- CMD`." });
}

/**
 * The lines of a file of variables that count, by docker's rules: empty ones and those that begin with # do not; what follows the first
 * `=` is the value as it is, quotes and all. @throws UsageError
 */
export function parseEnvFile(text: string, path: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const entry = line.trimStart();
    if (entry === "" || entry.startsWith("#")) return [];
    const name = entry.split("=", 1)[0] ?? "";
    if (name !== "" && !/\s/.test(name)) return [entry];
    throw new UsageError(`line ${index + 1} of ${path} names no variable: ${JSON.stringify(name)}`);
  });
}

/** Turns `NAME=value` lines into a record. A name alone takes its value from `inherit`, or is left out. */
export function parseEnv(lines: readonly string[], inherit: NodeJS.ProcessEnv = {}): Record<string, string> {
  const env = new Map<string, string>();
  for (const line of lines) {
    const at = line.indexOf("=");
    if (at === 0 || line === "") throw new UsageError(`${JSON.stringify(line)} is not of the form NAME=value`);
    const name = at < 0 ? line : line.slice(0, at);
    // Every object has a `toString` and the like, which are no variables.
    const inherited = Object.hasOwn(inherit, name) ? inherit[name] : undefined;
    const value = at < 0 ? inherited : line.slice(at + 1);
    if (value !== undefined) env.set(name, value);
  }
  return Object.fromEntries(env);
}
