import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import * as packet from "dns-packet";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Dns } from "../../src/network/dns.js";
import { decodeQuery } from "../../src/network/dns-message.js";
import { reverseAddress } from "../../src/network/dns-records.js";
import { type EgressRules, HOST_NAME, parsePolicy } from "../../src/network/policy.js";
import { RememberedNames } from "../../src/network/remembered-names.js";
import { pseudoRandom } from "../guest/frame-builder.js";
import { type DnsServer, dnsServer } from "../support/dns-server.js";

let server: DnsServer;
beforeAll(async () => {
  server = await dnsServer({
    "a.example A": ["93.184.216.34", "93.184.216.35"],
    "a.example AAAA": ["2606:2800::1"],
    "a.example MX": [{ preference: 10, exchange: "mail.example" }],
    "a.example TXT": [["v=spf1", " -all"]],
    "a.example NS": ["ns.example"],
    "a.example SOA": [
      { mname: "ns.example", rname: "root.example", serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
    ],
    "_x._tcp.a.example SRV": [{ priority: 1, weight: 2, port: 3, target: "a.example" }],
    "alias.example CNAME": ["a.example"],
    "34.216.184.93.in-addr.arpa PTR": ["a.example"],
    "many.example A": Array.from({ length: 40 }, (_, index) => `93.184.217.${index}`),
  });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Setup {
  dns: Dns;
  names: RememberedNames;
  decided: [string, boolean][];
}

function setUp(rules: EgressRules = {}): Setup {
  const policy = parsePolicy({ dnsServers: [server.address], ...rules });
  if (!policy) throw new Error("no policy");
  const names = new RememberedNames();
  const decided: [string, boolean][] = [];
  return { names, decided, dns: new Dns(policy, names, (name, { allowed }) => decided.push([name, allowed])) };
}

const query = (name: string, type: string, additionals: packet.Answer[] = []) =>
  packet.encode({
    id: 77,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as packet.RecordType, class: "IN" }],
    additionals,
  });

/** The package's types leave the rcode out. */
const decode = (bytes: Buffer | undefined) =>
  packet.decode(bytes ?? Buffer.alloc(0)) as packet.DecodedPacket & { rcode: string };

async function ask(dns: Dns, name: string, type: string, transport: "udp" | "tcp" = "udp") {
  const answer = await dns.answer(query(name, type), transport);
  if (!answer) throw new Error("no answer");
  return decode(answer);
}

const EDNS = (size: number): packet.Answer[] => [
  {
    type: "OPT",
    name: ".",
    udpPayloadSize: size,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  },
];

describe("a question for a name", () => {
  test.each([
    ["a.example", "A", ["93.184.216.34", "93.184.216.35"]],
    ["a.example", "AAAA", ["2606:2800::1"]],
    ["a.example", "MX", [{ preference: 10, exchange: "mail.example" }]],
    ["a.example", "NS", ["ns.example"]],
    ["_x._tcp.a.example", "SRV", [{ priority: 1, weight: 2, port: 3, target: "a.example" }]],
    ["alias.example", "CNAME", ["a.example"]],
    ["34.216.184.93.in-addr.arpa", "PTR", ["a.example"]],
  ])("%s %s is answered", async (name, type, expected) => {
    const { answers = [], rcode, id, flag_ra } = await ask(setUp().dns, name, type);
    expect({ rcode, id, flag_ra }).toEqual({ rcode: "NOERROR", id: 77, flag_ra: true });
    expect(
      answers.map((each) => ({ name: each.name, type: each.type, data: (each as { data: unknown }).data })),
    ).toEqual(expected.map((data) => expect.objectContaining({ name, type, data })));
  });

  test("of text and of a zone's beginning is answered", async () => {
    const { dns } = setUp();
    const [text] = (await ask(dns, "a.example", "TXT")).answers ?? [];
    expect(String((text as unknown as { data: Buffer[] }).data.join(""))).toBe("v=spf1 -all");
    const [soa] = (await ask(dns, "a.example", "SOA")).answers ?? [];
    expect(soa).toMatchObject({ data: { mname: "ns.example", serial: 1, minimum: 5 } });
  });

  test("keeps the spelling of the question and remembers the plain one", async () => {
    const { dns, names } = setUp();
    expect((await ask(dns, "A.eXample", "A")).answers?.[0]?.name).toBe("A.eXample");
    expect(names.of("93.184.216.34")).toEqual(["a.example"]);
  });

  test("that does not exist, or has no such record, or is of an unknown type is told so", async () => {
    const { dns } = setUp();
    expect(await ask(dns, "none.example", "A")).toMatchObject({ rcode: "NXDOMAIN", answers: [] });
    expect(await ask(dns, "alias.example", "MX")).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect(await ask(dns, "a.example", "CAA")).toMatchObject({ rcode: "NOTIMP" });
  });

  test("that the policy forbids goes nowhere and is told so", async () => {
    const { dns, decided } = setUp({ allow: ["a.example"] });
    server.asked.length = 0;
    const answer = await dns.answer(query("secret.example", "A", EDNS(1232)), "udp");
    const decoded = packet.decode(answer as Buffer);
    expect(decoded).toMatchObject({ rcode: "NXDOMAIN", answers: [] });
    const [opt] = decoded.additionals as [packet.OptAnswer];
    expect((opt.options as unknown as { code: number; data: Buffer }[])[0]).toMatchObject({
      code: 15,
      data: Buffer.from([0, 18]),
    });
    expect(server.asked).toEqual([]);
    expect(decided).toEqual([["secret.example", false]]);
  });

  test("of the host is answered with the gateway where the host is allowed", async () => {
    const { dns } = setUp({ allow: [HOST_NAME] });
    expect((await ask(dns, HOST_NAME, "A")).answers).toMatchObject([{ data: "10.0.2.2" }]);
    expect((await ask(dns, HOST_NAME, "AAAA")).answers).toEqual([]);
    expect(await ask(setUp().dns, HOST_NAME, "A")).toMatchObject({ rcode: "NXDOMAIN" });
  });

  test("is a failure where no server answers", async () => {
    const { dns } = setUp({ dnsServers: ["127.0.0.1:9"] });
    expect(await ask(dns, "a.example", "A")).toMatchObject({ rcode: "SERVFAIL" });
  });
});

describe("an answer that is too long", () => {
  test("is cut over UDP and whole over TCP, or where the guest takes more", async () => {
    const { dns } = setUp();
    expect(await ask(dns, "many.example", "A")).toMatchObject({ flag_tc: true, answers: [] });
    expect((await ask(dns, "many.example", "A", "tcp")).answers).toHaveLength(40);
    const long = await dns.answer(query("many.example", "A", EDNS(1232)), "udp");
    expect(packet.decode(long as Buffer).answers).toHaveLength(40);
  });

  test("is sent on a connection, one after the other, however the bytes come", async () => {
    const { dns } = setUp();
    const toGuest = new PassThrough();
    const fromGuest = new PassThrough();
    void dns.serve(Duplex.from({ readable: fromGuest, writable: toGuest }));
    const message = packet.streamEncode({ id: 1, questions: [{ name: "many.example", type: "A" }] });
    const both = Buffer.concat([message, message]);
    for (const byte of both) fromGuest.write(Buffer.from([byte]));
    fromGuest.end();
    const chunks: Buffer[] = [];
    toGuest.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(toGuest, "end");
    const all = Buffer.concat(chunks);
    const first = all.readUInt16BE(0);
    expect(packet.decode(all.subarray(2, 2 + first)).answers).toHaveLength(40);
    expect(packet.decode(all.subarray(2 + first + 2)).answers).toHaveLength(40);
  });
});

describe("what a hostile guest sends", () => {
  test("is no query, or is refused as malformed", async () => {
    const { dns } = setUp();
    const good = query("a.example", "A");
    const response = Buffer.from(good);
    response[2] = 0x80;
    expect(await dns.answer(response, "udp")).toBeUndefined();
    expect(await dns.answer(Buffer.alloc(5), "udp")).toBeUndefined();
    const twice = Buffer.from(good);
    twice.writeUInt16BE(2, 4);
    expect(decode(await dns.answer(twice, "udp")).rcode).toBe("FORMERR");
    const update = Buffer.from(good);
    update[2] = 5 << 3;
    expect(decode(await dns.answer(update, "udp")).rcode).toBe("NOTIMP");
    const loop = Buffer.concat([good.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    expect(decode(await dns.answer(loop, "udp")).rcode).toBe("FORMERR");
  });

  test("with a name that an answer could not repeat is malformed", async () => {
    const { dns } = setUp();
    // 51 bytes that are no UTF-8: replaced by three bytes each, they would be no label any more.
    for (const label of [Buffer.alloc(51, 0xa5), Buffer.from("a.b"), Buffer.from(".")]) {
      const asked = query("x".repeat(label.length), "A");
      label.copy(asked, 13);
      expect(decode(await dns.answer(asked, "udp"))).toMatchObject({ rcode: "FORMERR", id: 77 });
    }
    expect(await ask(dns, "é.example", "A")).toMatchObject({ rcode: "NXDOMAIN" });
  });

  test("never throws, whatever it is", () => {
    const random = pseudoRandom(5);
    const good = query("a.example", "A", EDNS(1232));
    for (let round = 0; round < 5_000; round++) {
      const bytes = Buffer.from(good.subarray(0, 1 + random(good.length)));
      for (let change = random(6); change >= 0; change--) bytes[random(bytes.length)] = random(256);
      decodeQuery(bytes);
    }
  });

  test("does not make more questions at a time than some", async () => {
    const { dns } = setUp();
    const answers = await Promise.all(Array.from({ length: 500 }, () => dns.answer(query("a.example", "A"), "udp")));
    expect(answers.filter(Boolean)).toHaveLength(128);
    expect(await dns.answer(query("a.example", "A"), "udp")).toBeDefined();
  });
});

test("the names of an allow list are looked up for addresses that the guest knew before", async () => {
  const { dns, names } = setUp({ allow: ["a.example", "*.other.example"] });
  await dns.learn();
  expect(names.of("93.184.216.34")).toEqual(["a.example"]);
  expect(names.of("2606:2800::1")).toEqual(["a.example"]);
});

test("reverse names are read", () => {
  const six = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
  expect(reverseAddress("4.3.2.1.in-addr.arpa")).toBe("1.2.3.4");
  expect(reverseAddress(six)).toBe("4321:0:1:2:3:4:567:89ab");
  for (const name of ["1.2.3.in-addr.arpa", "999.3.2.1.in-addr.arpa", "x.ip6.arpa", "a.example"])
    expect(reverseAddress(name)).toBeUndefined();
});
