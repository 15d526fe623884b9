import * as packet from "dns-packet";

export const RCODE = { noError: 0, formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4 } as const;
const HEADER_BYTES = 12;
/** Longer queries than this are none. */
const QUERY_BYTES_MAX = 1_024;
const PLAIN_UDP_BYTES = 512;
/** What we say we take, and the most that we send: beyond it datagrams tend to be lost in pieces elsewhere. */
const UDP_BYTES_MAX = 4_096;
const EXTENDED_ERROR = 15;
const PROHIBITED = 18;

/** A question of the guest. */
export interface Query {
  id: number;
  name: string;
  /** Such as `AAAA`; `UNKNOWN_65` for those without a name. */
  type: string;
  recursionDesired: boolean;
  /** How long an answer by UDP may be. */
  udpBytes: number;
  /** It speaks EDNS. */
  extended: boolean;
  question: packet.Question;
}

/** How it is answered. */
export interface Response {
  rcode: number;
  answers: packet.Answer[];
  /** The policy forbids it; said as an extended error (RFC 8914) to those who understand. */
  prohibited?: boolean;
}

/** Reads a query. A number is the rcode to answer with, `undefined` deserves no answer. */
export function decodeQuery(bytes: Buffer): Query | { id: number; rcode: number } | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(2) & 0x8000) return undefined;
  const id = bytes.readUInt16BE(0);
  const counts = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = counts;
  if (bytes.length > QUERY_BYTES_MAX || questions !== 1 || answers || authorities || additionals > 2)
    return { id, rcode: RCODE.formatError };
  // Opcode 0 is the ordinary query.
  if ((bytes.readUInt16BE(2) >> 11) & 0xf) return { id, rcode: RCODE.notImplemented };
  try {
    const decoded = packet.decode(bytes);
    return isWrittenAgainAsRead(decoded, bytes) ? toQuery(decoded) : { id, rcode: RCODE.formatError };
  } catch {
    return { id, rcode: RCODE.formatError };
  }
}

/** Labels that are not UTF-8, or that have dots, are names that the answer's question could not repeat. */
function isWrittenAgainAsRead({ questions = [] }: packet.DecodedPacket, bytes: Buffer): boolean {
  const name = packet.encode({ questions }).subarray(HEADER_BYTES, -4);
  return name.equals(bytes.subarray(HEADER_BYTES, HEADER_BYTES + name.length));
}

function toQuery(decoded: packet.DecodedPacket): Query | { id: number; rcode: number } {
  const [question] = decoded.questions ?? [];
  const id = decoded.id ?? 0;
  if (!question || (question.class !== undefined && question.class !== "IN"))
    return { id, rcode: RCODE.notImplemented };
  const opt = decoded.additionals?.find((each) => each.type === "OPT");
  const wanted = opt?.type === "OPT" ? opt.udpPayloadSize : PLAIN_UDP_BYTES;
  return {
    id,
    name: question.name,
    type: question.type,
    recursionDesired: decoded.flag_rd,
    udpBytes: Math.min(Math.max(wanted, PLAIN_UDP_BYTES), UDP_BYTES_MAX),
    extended: opt !== undefined,
    question,
  };
}

/** The answer; over UDP one that is too long is cut and marked, so that the guest asks again over TCP. */
export function encodeResponse(query: Query, response: Response, transport: "udp" | "tcp"): Buffer {
  const whole = encode(query, response, 0);
  const most = transport === "udp" ? query.udpBytes : 65_535;
  return whole.length <= most ? whole : encode(query, { ...response, answers: [] }, packet.TRUNCATED_RESPONSE);
}

/** An answer to what could not be read. */
export function encodeFailure({ id, rcode }: { id: number; rcode: number }): Buffer {
  return packet.encode({ type: "response", id, flags: packet.RECURSION_AVAILABLE | rcode });
}

function encode(query: Query, { rcode, answers, prohibited }: Response, flags: number): Buffer {
  const desired = query.recursionDesired ? packet.RECURSION_DESIRED : 0;
  return packet.encode({
    type: "response",
    id: query.id,
    flags: packet.RECURSION_AVAILABLE | desired | flags | rcode,
    questions: [query.question],
    answers,
    additionals: query.extended ? [extension(prohibited ?? false)] : [],
  });
}

function extension(prohibited: boolean): packet.OptAnswer {
  const data = Buffer.from([0, PROHIBITED]);
  // The types of the package know only the options that it decodes.
  const options = prohibited ? [{ code: EXTENDED_ERROR, data } as unknown as packet.PacketOpt] : [];
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: UDP_BYTES_MAX,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options,
  };
}
