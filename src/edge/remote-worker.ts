import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type ServiceOptions, WORKER_CONNECTIONS } from "./options.js";
import type { Registration } from "./shared-port.js";
import type { WorkerSource } from "./worker-source.js";

/** By this header an edge knows the one in front of it. It never reaches a worker. */
export const KEY_HEADER = "x-supermachine-edge-key";

/** The edge of another process decides on queues and times itself. */
export const REMOTE_OPTIONS: ServiceOptions = {
  concurrency: WORKER_CONNECTIONS,
  answerTimeoutMs: 86_400_000,
};

/** The edge of another process on this machine as the one worker of a service, until `membership` is closed. */
export function remoteWorker({ port, key }: Registration, membership: Duplex): WorkerSource {
  // When that process dies, so do the connections to it, and when it closes it answers what it has: nothing is to be cut off here.
  const ended = new Promise<never>(() => undefined);
  return {
    start: async () => ({
      headers: [KEY_HEADER, key],
      connect: async () => {
        const socket = connect({ port, host: "127.0.0.1", noDelay: true });
        await once(socket, "connect");
        return socket;
      },
      ended,
      stop: async () => void membership.destroy(),
    }),
    close: async () => undefined,
  };
}
