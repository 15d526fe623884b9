import dgram from "node:dgram";
import { once } from "node:events";
import * as packet from "dns-packet";

/** Records by `NAME TYPE`; a name without any record does not exist. */
export type Zone = Record<string, unknown[]>;

/** A name server for tests on 127.0.0.1, which answers from a zone that may change. */
export interface DnsServer extends AsyncDisposable {
  /** As `ADDRESS:PORT`. */
  address: string;
  zone: Zone;
  /** What it was asked, as `NAME TYPE`. */
  asked: string[];
}

export async function dnsServer(zone: Zone): Promise<DnsServer> {
  const socket = dgram.createSocket("udp4");
  const server: DnsServer = {
    address: "",
    zone,
    asked: [],
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
  socket.on("message", (bytes, { port, address }) => socket.send(answer(bytes, server), port, address));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  server.address = `127.0.0.1:${socket.address().port}`;
  return server;
}

function answer(bytes: Buffer, { zone, asked }: DnsServer): Buffer {
  const { id = 0, questions = [] } = packet.decode(bytes);
  const [question] = questions;
  const [name, type] = [question?.name.toLowerCase() ?? "", question?.type ?? "A"];
  asked.push(`${name} ${type}`);
  const known = Object.keys(zone).some((key) => key.startsWith(`${name} `));
  const records = zone[`${name} ${type}`] ?? [];
  return packet.encode({
    type: "response",
    id,
    flags: packet.RECURSION_AVAILABLE | packet.RECURSION_DESIRED | (known ? 0 : 3),
    questions,
    answers: records.map((data) => ({ name, type, ttl: 30, data }) as unknown as packet.Answer),
  });
}
