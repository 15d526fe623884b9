import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type PublishOptions, type Ready, type ServeOptions, UsageError } from "../index.js";
import { duration, wholeNumber } from "./options.js";

/** Options of `run` that put an HTTP server in front of the image's own. */
export interface EdgeFlags {
  httpPort?: number;
  workersPerSnapshot?: number;
  idleTimeout?: number;
  inboundTlsCert?: string;
  inboundTlsKey?: string;
  inboundTlsAutogen?: boolean;
  answerTimeout?: number;
  serverReady?: Ready;
  accessLog?: boolean;
}

/** What is to be served: the options of the library, and with what the image is baked. */
export interface Served {
  guestPort: number | undefined;
  ready: Ready;
  edge: Pick<ServeOptions, "port" | "workers" | "idleTimeoutMs" | "answerTimeoutMs" | "tls">;
}

/** Adds them to `run`. */
export function addEdgeOptions(command: Command): Command {
  const ready = "serve: when workers are captured: with their server listening, or before it is started";
  return command
    .option(
      "--http-port <port>",
      "serve the image's HTTP server on this port of the host (default 8080, 0 for any)",
      port,
    )
    .option("--workers-per-snapshot <n>", "serve: how many microVMs share the requests (default 1)", wholeNumber)
    .option(
      "--idle-timeout <time>",
      "serve: stop them after so long without requests; the next one wakes them",
      duration,
    )
    .option("--answer-timeout <time>", "serve: how long a server may take to begin its answer (default 2m)", duration)
    .option("--inbound-tls-cert <file>", "serve: speak TLS with this certificate chain, in PEM")
    .option("--inbound-tls-key <file>", "serve: the certificate's private key, in PEM")
    .option("--inbound-tls-autogen", "serve: speak TLS with certificates of a local authority")
    .addOption(new Option("--server-ready <moment>", ready).choices(["listener", "before-workload"]))
    .option("--access-log", "serve: print a line for every request to standard error");
}

/** What is to be served, if anything is. @throws UsageError when the options contradict each other */
export function servedOf(
  flags: EdgeFlags & {
    publish?: PublishOptions[];
    port?: number;
    detach?: boolean;
    interactive?: boolean;
    tty?: boolean;
  },
): Served | undefined {
  const { httpPort, workersPerSnapshot, idleTimeout, answerTimeout } = flags;
  const { inboundTlsCert: cert, inboundTlsKey: key, inboundTlsAutogen: autogen, serverReady, accessLog } = flags;
  const all = [httpPort, workersPerSnapshot, idleTimeout, answerTimeout, cert, key, autogen, serverReady, accessLog];
  if (all.every((each) => each === undefined)) return undefined;
  if (flags.interactive || flags.tty) throw new UsageError("a server that is served has nobody for -i and -t");
  if (flags.detach && accessLog)
    throw new UsageError("--access-log is for the foreground", {
      hint: "`supermachine logs --router` shows the requests of a VM in the background.",
    });
  if ((cert === undefined) !== (key === undefined))
    throw new UsageError("--inbound-tls-cert and --inbound-tls-key go together");
  if (autogen && cert !== undefined)
    throw new UsageError("--inbound-tls-autogen leaves nothing for --inbound-tls-cert to do");
  const tls = autogen
    ? ("autogen" as const)
    : cert !== undefined && key !== undefined
      ? { cert: read(cert), key: read(key) }
      : undefined;
  const { publish = [] } = flags;
  if (publish.some(({ hostPort }) => hostPort))
    throw new UsageError("a port that is served is reached through --http-port alone", {
      hint: "Write -p GUEST, such as -p 80, without a port of the host.",
    });
  const edge = {
    port: httpPort,
    workers: workersPerSnapshot,
    idleTimeoutMs: idleTimeout,
    answerTimeoutMs: answerTimeout,
    tls,
  };
  return { guestPort: flags.port ?? publish[0]?.guestPort, ready: serverReady ?? "listener", edge };
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageError(`${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function port(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError("It is a port from 0 to 65535.");
}
