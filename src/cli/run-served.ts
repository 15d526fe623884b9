import { once } from "node:events";
import { resolve } from "node:path";
import { authorityPath, formatAccess, type Image, type ServeOptions, serve } from "../index.js";
import type { EdgeFlags, Served } from "./edge-options.js";

/** The command that is served, where it is not the image's own. */
type ServedWorkload = Pick<ServeOptions, "env" | "cwd" | "user" | "cmd" | "entrypoint">;

/** `run --http-port`: serves the image until it is interrupted, and ends the microVMs in order. */
export async function runServed(
  image: Image,
  { edge, guestPort }: Served,
  flags: EdgeFlags,
  options: ServeOptions,
  signal: AbortSignal,
): Promise<never> {
  const served = await serve(image, {
    ...options,
    ...edge,
    shared: true,
    guestPort,
    onVm: (vm) => void vm.workload?.follow((chunk, stream) => process[stream].write(chunk)),
    ...(flags.accessLog && { onRequest: (entry) => process.stderr.write(`${formatAccess(entry)}\n`) }),
  });
  try {
    await served.untilReady(signal);
    process.stderr.write(`supermachine: ${served.url()} is port ${guestPort ?? image.guestPort} of the image\n`);
    if (edge.tls === "autogen") process.stderr.write(`supermachine: clients have to trust ${authorityPath()}\n`);
    if (!signal.aborted) await once(signal, "abort");
    throw signal.reason;
  } finally {
    await served.close(options.stopGraceMs === undefined ? {} : { graceMs: options.stopGraceMs });
  }
}

/** What a served image is baked with: a server that runs in the snapshot was started as the command line says. */
export function serverBake({ ready, guestPort }: Served, workload: ServedWorkload, hasStorage: boolean) {
  // It cannot have seen folders and volumes.
  if (hasStorage) return { ready: "start" as const, guestPort };
  const { cwd, ...rest } = workload;
  return { ready, guestPort, ...rest, workdir: cwd };
}

/** The same for `run --detach`, whose supervisor reads the files itself. */
export function detachedEdge(
  { edge: { port = 8_080, workers, idleTimeoutMs, answerTimeoutMs }, guestPort }: Served,
  flags: EdgeFlags,
) {
  const { inboundTlsCert: cert, inboundTlsKey: key, inboundTlsAutogen: autogen } = flags;
  const files =
    cert !== undefined && key !== undefined ? { certFile: resolve(cert), keyFile: resolve(key) } : undefined;
  return { port, workers, idleTimeoutMs, answerTimeoutMs, guestPort, tls: autogen ? ("autogen" as const) : files };
}
