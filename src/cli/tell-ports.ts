import type { PublishOptions } from "../index.js";

/** Says where ports of a microVM are reached. */
export function tellPorts(ports: readonly PublishOptions[]): void {
  for (const { protocol = "tcp", host = "127.0.0.1", hostPort, guestPort } of ports) {
    const at = `${host.includes(":") ? `[${host}]` : host}:${hostPort}`;
    process.stderr.write(`supermachine: ${at} is ${protocol} port ${guestPort} of the microVM\n`);
  }
}
