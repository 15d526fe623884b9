import { NetworkError } from "../../errors.js";
import { encodePackets, PacketReader, printable } from "./pkt-line.js";
import type { Refs, Wanted } from "./refs.js";
import type { UploadPack } from "./upload-pack.js";

/** Bands of a stream that is split (gitprotocol-pack(5), "side-band-64k"). */
const BAND = { pack: 1, failure: 3 };
const WISHES = ["side-band-64k", "ofs-delta", "no-progress"];

/** A pack as it comes. */
export interface IncomingPack {
  bytes: AsyncIterable<Buffer>;
  /** Commits whose parents are not in it. */
  shallow: string[];
}

/**
 * Asks for a commit without its history, and gives the pack. A server that gives no commit but those of its branches and tags is asked
 * for all of them, with their history.
 * @throws NetworkError
 */
export async function fetchPack(
  server: UploadPack,
  { capabilities, names }: Refs,
  { object }: Wanted,
): Promise<IncomingPack> {
  const tips = new Set([...names].flatMap(([name, oid]) => (/^refs\/(?:heads|tags)\//.test(name) ? [oid] : [])));
  const mayName = ["allow-tip-sha1-in-want", "allow-reachable-sha1-in-want", "allow-any-sha1-in-want"];
  const isDirect = [...names.values()].includes(object) || mayName.some((each) => capabilities.has(each));
  const isShallow = isDirect && capabilities.has("shallow");
  const wants = isDirect ? [object] : [...tips];
  if (wants.length === 0) throw new NetworkError("the git repository is empty");
  const caps = WISHES.filter((each) => capabilities.has(each));
  const lines = wants.map(
    (want, i) => `want ${want}${i === 0 ? ` ${[...caps, "agent=supermachine"].join(" ")}` : ""}\n`,
  );
  const body = encodePackets([...lines, ...(isShallow ? ["deepen 1\n"] : []), undefined, "done\n"]);
  const reader = new PacketReader(await server.request(body));
  const shallow = isShallow ? await readShallow(reader) : [];
  const answer = await reader.next();
  if (answer === "flush" || !/^(?:NAK|ACK)/.test(answer.toString("latin1"))) {
    throw new NetworkError("the git server answers with something that is no pack");
  }
  return { bytes: caps.includes("side-band-64k") ? packOf(reader) : reader.rest(), shallow };
}

async function readShallow(reader: PacketReader): Promise<string[]> {
  const found: string[] = [];
  for (let packet = await reader.next(); packet !== "flush"; packet = await reader.next()) {
    const [, oid] = /^shallow ([0-9a-f]{40})/.exec(packet.toString("latin1")) ?? [];
    if (oid !== undefined) found.push(oid);
  }
  return found;
}

async function* packOf(reader: PacketReader): AsyncGenerator<Buffer> {
  for (;;) {
    const packet = await reader.next();
    if (packet === "flush") return;
    const content = packet.subarray(1);
    if (packet[0] === BAND.pack) yield content;
    else if (packet[0] === BAND.failure) throw new NetworkError(`the git server says: ${printable(content)}`);
  }
}
