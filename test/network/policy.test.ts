import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { type EgressPolicy, HOST_NAME, parsePolicy } from "../../src/network/policy.js";

function dials(policy: EgressPolicy, address: string, port = 443, names: string[] = []): boolean {
  return parsePolicy(policy)?.dial(address, port, names).allowed ?? false;
}

const PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1"];
const PUBLIC_V6 = ["2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "64:ff9b::8.8.8.8"];

const LOOPBACK = ["127.0.0.1", "127.0.0.53", "127.255.255.254", "::1", "0.0.0.0", "0.1.2.3", "::"];
const LINK_LOCAL = ["169.254.169.254", "169.254.0.1", "169.254.170.2", "fe80::1", "febf::1"];
const PRIVATE = [
  "10.0.0.1",
  "10.255.255.255",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.0.1",
  "fc00::1",
  "fd00:ec2::254",
];
const SHARED = ["100.64.0.1", "100.100.100.200", "100.127.255.255"];
const RESERVED = [
  "192.0.0.192",
  "192.0.2.1",
  "198.18.0.1",
  "198.51.100.1",
  "203.0.113.1",
  "240.0.0.1",
  "255.255.255.255",
];
const MULTICAST = ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"];
const SPECIAL_V6 = ["2001:db8::1", "3fff::1", "2001::1", "fec0::1", "100::1", "4000::1", "5f00::1", "64:ff9b:1::1"];
const METADATA = ["168.63.129.16"];

/** The forms in which an IPv4 address hides in an IPv6 one. */
const hidden = (four: string) => {
  const [a = 0, b = 0, c = 0, d = 0] = four.split(".").map(Number);
  const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  return [`::ffff:${four}`, `::ffff:${hex}`, `64:ff9b::${hex}`, `2002:${hex}::1`, `::${hex}`, `::ffff:0:${hex}`];
};

describe("public", () => {
  test.each([...PUBLIC, ...PUBLIC_V6])("dials %s", (address) => {
    expect(dials("public", address)).toBe(true);
  });

  test.each([...LOOPBACK, ...LINK_LOCAL, ...PRIVATE, ...SHARED, ...RESERVED, ...MULTICAST, ...SPECIAL_V6, ...METADATA])(
    "does not dial %s",
    (address) => {
      expect(dials("public", address)).toBe(false);
    },
  );

  test.each(
    ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"].flatMap(hidden),
  )("does not dial %s, which is an IPv4 address in disguise", (address) => {
    expect(dials("public", address)).toBe(false);
  });

  test("does not dial the host's own addresses, whatever they are", () => {
    const own = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
    expect(own.filter((address) => dials("public", address))).toEqual([]);
  });

  test("does not dial what a public name has come to stand for", () => {
    for (const address of ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1"])
      expect(dials("public", address, 80, ["rebound.example.org"])).toBe(false);
  });
});

describe("all", () => {
  test.each([...PUBLIC, ...PRIVATE, ...LINK_LOCAL, ...SHARED])("dials %s", (address) => {
    expect(dials("all", address)).toBe(true);
  });

  test.each([...LOOPBACK, ...MULTICAST, "255.255.255.255", ...hidden("127.0.0.1")])(
    "does not dial %s all the same",
    (address) => {
      expect(dials("all", address)).toBe(false);
    },
  );

  test("does not open the host's loopback", () => {
    expect(dials("all", "10.0.2.2", 80)).toBe(false);
    expect(parsePolicy("all")?.lookUp(HOST_NAME).allowed).toBe(false);
  });
});

describe("rules", () => {
  const cases: [EgressPolicy, string, number, string[], boolean][] = [
    [{ allow: ["10.1.0.0/16"] }, "10.1.2.3", 80, [], true],
    [{ allow: ["10.1.0.0/16"] }, "10.2.2.3", 80, [], false],
    [{ allow: ["10.1.0.0/16"] }, "::ffff:10.1.2.3", 80, [], true],
    [{ allow: ["::ffff:10.1.0.0/112"] }, "10.1.2.3", 80, [], true],
    [{ allow: ["10.1.2.3"] }, "10.1.2.3", 80, [], true],
    [{ allow: ["10.1.2.3:443"] }, "10.1.2.3", 80, [], false],
    [{ allow: ["10.1.2.3:443"] }, "10.1.2.3", 443, [], true],
    [{ allow: ["fd12::/16"] }, "fd12::1", 80, [], true],
    [{ allow: ["[fd12::1]:8000-8999"] }, "fd12::1", 8500, [], true],
    [{ allow: ["[fd12::1]:8000-8999"] }, "fd12::1", 9000, [], false],
    [{ allow: ["fd12::1"] }, "10.0.0.1", 80, [], false],
    [{ allow: ["127.0.0.0/8", "0.0.0.0/0", "::/0"] }, "127.0.0.1", 80, [], false],
    [{ allow: [] }, "1.1.1.1", 80, [], false],
    [{}, "1.1.1.1", 80, [], true],
    [{}, "10.0.0.1", 80, [], false],
    [{ deny: ["1.1.1.0/24"] }, "1.1.1.1", 80, [], false],
    [{ deny: ["1.1.1.0/24"] }, "1.1.2.1", 80, [], true],
    [{ allow: ["all"], deny: ["public"] }, "1.1.2.1", 80, [], false],
    [{ allow: ["all"], deny: ["public"] }, "10.1.2.1", 80, [], true],
    [{ allow: ["public:443"] }, "1.1.1.1", 80, [], false],
    [{ allow: ["public:443"] }, "10.0.0.1", 443, [], false],
    [{ ports: [443, "8000-8999"] }, "1.1.1.1", 8001, [], true],
    [{ ports: [443, "8000-8999"] }, "1.1.1.1", 80, [], false],
    [{ allow: ["example.org"] }, "1.1.1.1", 80, ["example.org"], true],
    [{ allow: ["Example.ORG."] }, "1.1.1.1", 80, ["EXAMPLE.org"], true],
    [{ allow: ["example.org"] }, "1.1.1.1", 80, ["sub.example.org"], false],
    [{ allow: ["example.org"] }, "1.1.1.1", 80, [], false],
    [{ allow: ["*.example.org"] }, "1.1.1.1", 80, ["a.b.example.org"], true],
    [{ allow: ["*.example.org"] }, "1.1.1.1", 80, ["example.org"], false],
    [{ allow: ["*.example.org"] }, "1.1.1.1", 80, ["notexample.org"], false],
    [{ allow: ["example.org:443"] }, "1.1.1.1", 80, ["example.org"], false],
    [{ allow: ["example.org"] }, "127.0.0.1", 80, ["example.org"], false],
    [{ allow: ["example.org"] }, "169.254.169.254", 80, ["example.org"], false],
    [{ allow: ["example.org"] }, "10.0.0.1", 80, ["example.org"], false],
    [{ allow: ["example.org", "10.0.0.0/8"] }, "10.0.0.1", 80, ["example.org"], true],
    [{ allow: ["public"], deny: ["*.example.org"] }, "1.1.1.1", 80, ["cdn.net", "a.example.org"], false],
    [{ allow: [HOST_NAME] }, "10.0.2.2", 80, [], true],
    [{ allow: [`${HOST_NAME}:8080`] }, "10.0.2.2", 80, [], false],
    [{ allow: ["*.supermachine.internal", "*.internal"] }, "10.0.2.2", 80, [], false],
    [{ allow: ["10.0.0.0/8"] }, "10.0.2.2", 80, [], false],
    [{ allow: [HOST_NAME], deny: [HOST_NAME] }, "10.0.2.2", 80, [], false],
    [{ allow: [HOST_NAME] }, "127.0.0.1", 80, [HOST_NAME], false],
  ];
  test.each(cases)("%j for %s port %i known as %j: %s", (policy, address, port, names, allowed) => {
    expect(dials(policy, address, port, names)).toBe(allowed);
  });

  test("say which entry decided", () => {
    expect(parsePolicy({ deny: ["1.1.1.1"] })?.dial("1.1.1.1", 80, [])).toEqual({
      allowed: false,
      reason: "denied by 1.1.1.1",
    });
    expect(parsePolicy({ allow: ["*.b.c"] })?.dial("1.1.1.1", 80, ["a.b.c"]).reason).toBe("allowed by *.b.c");
  });

  test.each([
    "1.2.3",
    "1.2.3.4/33",
    "1.2.3.4/x",
    "::1/129",
    "a b",
    "",
    "*",
    "*.",
    "a..b",
    "a.*.b",
    "http://a",
    "a:0",
    "a:70000",
    "a:9-8",
    "-a.b",
    "0x7f.1",
    "a/b",
    "1.2.3.4/8/8",
    "1.2.3.4/ 8",
  ])("refuse %j as an entry", (entry) => {
    expect(() => parsePolicy({ allow: [entry] })).toThrow(UsageError);
  });

  test("refuse other things that make no sense", () => {
    const wrong = [
      "some",
      null,
      7,
      { ports: [0] },
      { maxBytesPerSecond: 0 },
      { maxBytesPerSecond: 1.5 },
      { dnsServers: ["x"] },
    ];
    for (const policy of wrong)
      expect(() => parsePolicy(policy as EgressPolicy), JSON.stringify(policy)).toThrow(UsageError);
  });
});

describe("looking names up", () => {
  const looksUp = (policy: EgressPolicy, name: string) => parsePolicy(policy)?.lookUp(name).allowed;
  test("is open where addresses are", () => {
    expect(looksUp("public", "example.org")).toBe(true);
    expect(looksUp({ allow: ["10.0.0.0/8"] }, "example.org")).toBe(true);
    expect(looksUp("public", HOST_NAME)).toBe(false);
  });

  test("is closed but for the names where only names are allowed, so that questions carry nothing out", () => {
    expect(looksUp({ allow: ["example.org", "*.a.net"] }, "example.org")).toBe(true);
    expect(looksUp({ allow: ["example.org", "*.a.net"] }, "secret.example.org")).toBe(false);
    expect(looksUp({ allow: ["example.org", "*.a.net"] }, "x.a.net.")).toBe(true);
    expect(looksUp({ deny: ["*.example.org"] }, "x.example.org")).toBe(false);
  });
});
