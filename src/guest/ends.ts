import ipaddr from "ipaddr.js";
import { UsageError } from "../errors.js";

const ADDRESS_BYTES = 16;

/** One end of a connection or datagram. */
export interface End {
  /** Numeric: IPv4, or IPv6 in its canonical form. */
  address: string;
  port: number;
}

/** Both ends, as the guest sees them. */
export interface Ends {
  source: End;
  destination: End;
}

/** The 16 bytes of an address; IPv4 in its IPv6-mapped form. @throws UsageError when it is not a numeric address */
export function addressBytes(address: string): Buffer {
  if (!ipaddr.IPv6.isValid(address) && !ipaddr.IPv4.isValidFourPartDecimal(address))
    throw new UsageError(`${JSON.stringify(address)} is no numeric address`);
  const parsed = ipaddr.parse(address);
  const six = parsed.kind() === "ipv4" ? (parsed as ipaddr.IPv4).toIPv4MappedAddress() : parsed;
  return Buffer.from(six.toByteArray());
}

/** The address of 16 bytes in its usual form. */
export function addressText(bytes: Uint8Array): string {
  const six = new ipaddr.IPv6([...bytes.subarray(0, ADDRESS_BYTES)]);
  return six.isIPv4MappedAddress() ? six.toIPv4Address().toString() : six.toRFC5952String();
}

/** The ends of the other direction. */
export function reversed({ source, destination }: Ends): Ends {
  return { source: destination, destination: source };
}

const HEADER_BYTES = 40;

/** Kinds of messages on the network's stream. */
export const MessageKind = { syn: 1, datagram: 2, refuseSyn: 3, refuseDatagram: 4 } as const;

/** A message on the network's stream: who with whom, and the packet or content. */
export interface NetworkMessage {
  kind: number;
  /** Linux errno of a refusal. */
  error: number;
  ends: Ends;
  content: Buffer;
}

export function encodeMessage({ kind, error, ends, content }: NetworkMessage): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt16LE(kind, 0);
  header.writeUInt16LE(error, 2);
  header.writeUInt16LE(ends.source.port, 4);
  header.writeUInt16LE(ends.destination.port, 6);
  addressBytes(ends.source.address).copy(header, 8);
  addressBytes(ends.destination.address).copy(header, 24);
  return Buffer.concat([header, content]);
}

/** @throws Error when the guest sent something else */
export function decodeMessage(bytes: Buffer): NetworkMessage {
  if (bytes.length < HEADER_BYTES) throw new Error("a network message without its header");
  const kind = bytes.readUInt16LE(0);
  if (kind !== MessageKind.syn && kind !== MessageKind.datagram) throw new Error(`a network message of kind ${kind}`);
  return {
    kind,
    error: bytes.readUInt16LE(2),
    ends: {
      source: { address: addressText(bytes.subarray(8, 24)), port: bytes.readUInt16LE(4) },
      destination: { address: addressText(bytes.subarray(24, 40)), port: bytes.readUInt16LE(6) },
    },
    content: bytes.subarray(HEADER_BYTES),
  };
}
