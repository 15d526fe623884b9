import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import * as packet from "dns-packet";
import { expect, test } from "vitest";
import { Coverage } from "./support/coverage.js";
import { fuzz, SECONDS } from "./support/fuzz.js";

const ends = { source: { address: "10.0.2.15", port: 40_000 }, destination: { address: "2606:2800::1", port: 443 } };
const edns: packet.OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};
const question = (name: string, type: packet.RecordType) =>
  packet.encode({ id: 7, questions: [{ name, type }], additionals: [edns] });

test(`the host reads what a guest sends into its network, for ${SECONDS} s`, async () => {
  using coverage = new Coverage(/\/src\/(guest\/ends|network\/(listening-ports|policy|rule|address-class))\.ts/);
  const { decodeMessage, encodeMessage } = await import("../../src/guest/ends.js");
  const { parseTable } = await import("../../src/network/listening-ports.js");
  const { parsePolicy } = await import("../../src/network/policy.js");
  const policy = parsePolicy({ allow: ["public", "host.supermachine.internal:80"], deny: ["8.8.0.0/16"] });

  const run = (input: Buffer): void => {
    let message: ReturnType<typeof decodeMessage> | undefined;
    try {
      message = decodeMessage(input);
    } catch (error) {
      expect((error as Error).message).toMatch(/^a network message (without its header|of kind \d+)$/);
    }
    if (message) {
      expect(encodeMessage(message).equals(input)).toBe(true);
      const { address, port } = message.ends.destination;
      const verdict = policy?.dial(address, port, []);
      if (verdict?.allowed)
        expect(address).not.toMatch(/^(0|10|127|169\.254|192\.168|22[4-9])\.(?!0\.2\.2$)|^(::|f[cde])/);
    }
    for (const { address, port } of parseTable(input.toString("latin1"), "tcp")) {
      expect(address).toMatch(/^[0-9a-f.:]+$/);
      expect(port).toBeLessThan(65_536);
    }
  };
  const seeds = [
    encodeMessage({ kind: 1, error: 0, ends, content: Buffer.from("the packet") }),
    encodeMessage({
      kind: 2,
      error: 0,
      ends: { source: ends.destination, destination: ends.source },
      content: Buffer.alloc(9),
    }),
    Buffer.from(
      "   0: 0100007F:1F90 00000000:0000 0A 00000000\n   1: 00000000000000000000000001000000:0016 0:0000 0A 0\n",
    ),
  ];
  await fuzz({ name: "network", seeds, run }, coverage);
});

test(`the host answers a guest's questions for names, for ${SECONDS} s`, async () => {
  using coverage = new Coverage(/\/src\/network\/(dns|dns-message|dns-records|policy|rule)\.ts|\/dns-packet\//);
  const { Dns } = await import("../../src/network/dns.js");
  const { parsePolicy } = await import("../../src/network/policy.js");
  const { RememberedNames } = await import("../../src/network/remembered-names.js");
  // Nothing that it may ask for leaves this process.
  const policy = parsePolicy({ allow: ["host.supermachine.internal"], dnsServers: ["127.0.0.1:9"] });
  if (!policy) throw new Error("no policy");
  const dns = new Dns(policy, new RememberedNames(), () => {});

  const run = async (input: Buffer): Promise<void> => {
    const answer = await dns.answer(input, "udp");
    if (answer) checkAnswer(input, answer);
    // The same on a connection, in pieces, behind a message that is whole.
    const fromGuest = new PassThrough();
    const toGuest = new PassThrough();
    toGuest.resume();
    const serving = dns.serve(Duplex.from({ readable: fromGuest, writable: toGuest }));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(input.length);
    fromGuest.write(Buffer.concat([length, input]));
    fromGuest.end(input);
    await Promise.race([serving, once(toGuest, "end")]);
    await serving;
  };
  const seeds = [
    question("host.supermachine.internal", "A"),
    question("a.example", "AAAA"),
    question("4.3.2.1.in-addr.arpa", "PTR"),
    packet.encode({ id: 9, flags: packet.RECURSION_DESIRED, questions: [{ name: "x", type: "TXT", class: "CH" }] }),
  ];
  await fuzz({ name: "dns", seeds, run }, coverage);
});

/** What goes to the guest is an answer to its question, no longer than it said, that a resolver can read. */
function checkAnswer(query: Buffer, answer: Buffer): void {
  expect(answer.length).toBeLessThanOrEqual(4_096);
  expect(answer.readUInt16BE(0)).toBe(query.readUInt16BE(0));
  expect(answer.readUInt16BE(2) & 0x8000).toBe(0x8000);
  packet.decode(answer);
}
