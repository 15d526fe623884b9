import { type Command, InvalidArgumentError, Option } from "commander";
import { parseRestartPolicy, type RestartPolicy, UsageError } from "../index.js";
import { collect, goDuration, portNumber, wholeNumber } from "./options.js";

/** Options of `run` that only mean something with `--detach`. */
export interface DetachFlags {
  detach?: boolean;
  rm?: boolean;
  restart?: RestartPolicy;
  stopGrace?: number;
  stopSignal?: string;
  label?: string[];
  port?: number;
  probePath?: string;
  readyTimeoutMs?: number;
  healthCmd?: string;
  healthInterval?: number;
  healthTimeout?: number;
  healthStartPeriod?: number;
  healthRetries?: number;
  healthcheck?: boolean;
  pidFile?: string;
  logFile?: string;
}

/** Those that are refused without it, with their names on the command line. */
const ONLY_DETACHED: Partial<Record<keyof DetachFlags, string>> = {
  ...{ restart: "restart", stopGrace: "stop-grace", stopSignal: "stop-signal", label: "label" },
  ...{ probePath: "probe-path", readyTimeoutMs: "ready-timeout-ms", pidFile: "pid-file", logFile: "log-file" },
  ...{ healthCmd: "health-cmd", healthInterval: "health-interval", healthTimeout: "health-timeout" },
  ...{ healthStartPeriod: "health-start-period", healthRetries: "health-retries", port: "port" },
};

/** Adds them to `run`. */
export function addDetachOptions(command: Command): Command {
  const restart = "with --detach: start it again when it ends: no, on-failure[:TIMES], always, unless-stopped";
  return addHealthOptions(
    command
      .option("-d, --detach", "let it run in the background; prints its name once it is ready")
      .option("--rm", "with --detach: keep nothing of it once it has ended; otherwise that is always so")
      .addOption(new Option("--restart <policy>", restart).argParser(parseRestartPolicy))
      .option(
        "--stop-grace <seconds>",
        "with --detach: how long it has to end before it is killed (default 10)",
        seconds,
      )
      .option("--stop-signal <signal>", "with --detach: what ends it (default: the image's STOPSIGNAL, else SIGTERM)")
      .option("-l, --label <name=value>", "with --detach: a label, shown by `supermachine inspect`", collect)
      .option(
        "--port <guest>",
        "with --detach or --http-port: the port it has to listen on (default: the first published)",
        portNumber,
      )
      .option("--probe-path <path>", "with --detach: what it has to answer with 200 there, by default nothing")
      .option("--ready-timeout-ms <ms>", "with --detach: how long it has until then (default 60000)", wholeNumber)
      .option("--pid-file <file>", "with --detach: a file for its supervisor's process id")
      .option("--log-file <file>", "with --detach: a file that its output is added to"),
  );
}

function addHealthOptions(command: Command): Command {
  return command
    .option("--health-cmd <cmd>", "with --detach: what finds out whether it is well (default: the image's HEALTHCHECK)")
    .option("--health-interval <time>", "with --detach: time between two checks (default 30s)", goDuration)
    .option("--health-timeout <time>", "with --detach: how long a check may take (default 30s)", goDuration)
    .option("--health-start-period <time>", "with --detach: failures do not count so long (default 0s)", goDuration)
    .option("--health-retries <n>", "with --detach: failures in a row that make it unhealthy (default 3)", wholeNumber)
    .option("--no-healthcheck", "with --detach: none, whatever the image says");
}

/** @throws UsageError when an option for VMs in the background is used for one that is not, or the other way round */
export function checkDetachFlags(
  flags: DetachFlags & { interactive?: boolean; tty?: boolean },
  isServed: boolean,
): void {
  if (flags.detach && (flags.interactive || flags.tty)) throw new UsageError("--detach leaves nobody for -i and -t");
  if (flags.healthcheck === false && flags.healthCmd !== undefined)
    throw new UsageError("--no-healthcheck leaves nothing for --health-cmd to do");
  if (flags.detach) return;
  const isUsed = (name: string) => flags[name as keyof DetachFlags] !== undefined && !(isServed && name === "port");
  const used = Object.entries(ONLY_DETACHED).find(([name]) => isUsed(name));
  if (used) throw new UsageError(`--${used[1]} is for VMs in the background`, { hint: "Add --detach." });
}

/** Parses an amount of seconds, fractions allowed. */
export function seconds(text: string): number {
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text)) throw new InvalidArgumentError("It is a number of seconds.");
  return Number(text);
}
