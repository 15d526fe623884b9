import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = [Address, number];

/** NAT64's well-known prefix (RFC 6052), the IPv4 address behind it. */
const NAT64: Range = [ipaddr.IPv6.parse("64:ff9b::"), 96];
/** Where a translator or tunnel on the way would find an IPv4 address to go on to, and at which byte. */
const TRANSLATED: { range: Range; at: number }[] = [
  { range: NAT64, at: 12 },
  { range: [ipaddr.IPv6.parse("::ffff:0:0:0"), 96], at: 12 }, // SIIT, RFC 7915
  { range: [ipaddr.IPv6.parse("2002::"), 16], at: 2 }, // 6to4, RFC 3056
];
/** What IANA has given out as global unicast (RFC 4291); all else is special or unassigned. */
const GLOBAL_UNICAST: Range = [ipaddr.IPv6.parse("2000::"), 3];
/** Azure's platform services, reached through an address of the public range. */
const METADATA = ipaddr.parse("168.63.129.16");
/** Ranges that ipaddr.js does not count among the special ones. */
const SPECIAL: Range[] = [
  [ipaddr.parse("2001:db8::"), 32], // documentation, RFC 3849
  [ipaddr.parse("3fff::"), 20], // documentation, RFC 9637
  [ipaddr.parse("2001::"), 23], // protocol assignments, Teredo among them, RFC 2928
  [ipaddr.parse("2002::"), 16], // 6to4: an IPv4 address inside, RFC 7526 has retired it
  [ipaddr.parse("5f00::"), 16], // segment routing, RFC 9602
];

/** The address that is meant: IPv4 behind an IPv6-mapped form. */
export function parseAddress(text: string): Address {
  return ipaddr.process(text);
}

/** Whether the address is in the range, which may be of the other family. */
export function matches(address: Address, [base, bits]: Range): boolean {
  return address.kind() === base.kind() && address.match(base, bits);
}

/**
 * Whether the address is one of the open internet: not private, loopback, link-local, shared (CGNAT), multicast, reserved, for
 * documentation, or of a cloud's metadata; also not an IPv6 form of such an IPv4 address.
 */
export function isPublic(address: Address): boolean {
  if (address.kind() === "ipv4") return address.range() === "unicast" && !matches(address, [METADATA, 32]);
  if (matches(address, NAT64)) return isPublic(embedded(address, 12));
  if (!matches(address, GLOBAL_UNICAST) || SPECIAL.some((range) => matches(address, range))) return false;
  return address.range() === "unicast";
}

/**
 * Addresses that no policy opens: where a connection would end on the host itself (`0.0.0.0` does, too), or at nobody in particular.
 */
export function isNeverDialed(address: Address): boolean {
  const range = address.range();
  const nowhere: string[] = ["unspecified", "loopback", "multicast", "broadcast"];
  const translated = TRANSLATED.find((each) => matches(address, each.range));
  if (translated && isNeverDialed(embedded(address, translated.at))) return true;
  // The first 96 bits zero: IPv4-compatible addresses, long obsolete.
  return nowhere.includes(range) || matches(address, [ipaddr.IPv6.parse("::"), 96]);
}

function embedded(address: Address, at: number): Address {
  return ipaddr.fromByteArray(address.toByteArray().slice(at, at + 4));
}
