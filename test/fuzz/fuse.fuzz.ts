import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { pseudoRandom } from "../guest/frame-builder.js";
import { createIn, FuseClient, message, Opcode, readIn, text, u32, u64, writeIn } from "../mounts/fuse-client.js";
import { openDescriptors } from "../support/leftovers.js";

const SECONDS = Number(process.env.SUPERMACHINE_FUZZ_SECONDS ?? 600);
/** The first round of a run; a failure names the round, which can then be had alone. */
const FIRST = Number(process.env.SUPERMACHINE_FUZZ_SEED ?? Date.now() % 1e6);
const REQUESTS = 400;
const NAMES = [
  "a",
  "b",
  "file",
  "folder",
  "link",
  "up",
  "pipe",
  "secret",
  "..",
  ".",
  "",
  "a/b",
  "../beside",
  "x".repeat(256),
];
const POLICIES = ["deny", "opaque", "follow"] as const;
const EDGES = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff];

type Random = (limit: number) => number;

/** What the guest has been told so far, and so can use. */
interface Known {
  nodes: number[];
  handles: bigint[];
}

function prepare(client: FuseClient): void {
  mkdirSync(join(client.root, "folder", "a"), { recursive: true });
  writeFileSync(join(client.root, "file"), "content");
  writeFileSync(join(client.root, "folder", "b"), "b");
  writeFileSync(join(client.beside, "secret"), "untouched");
  symlinkSync(client.beside, join(client.root, "link"));
  symlinkSync("../../beside", join(client.root, "folder", "up"));
  execFileSync("mkfifo", [join(client.root, "pipe")]);
}

function bodyFor(opcode: number, random: Random, { nodes, handles }: Known): Buffer {
  const name = () => NAMES[random(NAMES.length)]!;
  const node = () => nodes[random(nodes.length)]!;
  const handle = () => (random(10) ? handles[random(handles.length)]! : BigInt(random(1 << 20)));
  const any = () => u32(...Array.from({ length: 2 + random(22) }, () => EDGES[random(EDGES.length)]!));
  const size = () => (random(3) ? random(70_000) : EDGES[random(EDGES.length)]!);
  const bodies: Record<number, () => Buffer> = {
    [Opcode.lookup]: () => text(name()),
    [Opcode.unlink]: () => text(name()),
    [Opcode.rmdir]: () => text(name()),
    [Opcode.create]: () => createIn(name(), random(4096), random(0o200000)),
    [Opcode.mknod]: () => Buffer.concat([u32(random(0o200000), random(1000), 0, 0), text(name())]),
    [Opcode.mkdir]: () => Buffer.concat([u32(random(0o10000), 0), text(name())]),
    [Opcode.symlink]: () => text(name(), random(2) ? "../beside/secret" : name()),
    [Opcode.link]: () => Buffer.concat([u64(node()), text(name())]),
    [Opcode.rename]: () => Buffer.concat([u64(node()), text(name(), name())]),
    [Opcode.rename2]: () => Buffer.concat([u64(node()), u32(random(5), 0), text(name(), name())]),
    [Opcode.open]: () => u32(random(4096), 0),
    [Opcode.opendir]: () => u32(0, 0),
    [Opcode.read]: () => readIn(handle(), size(), size()),
    [Opcode.readdir]: () => readIn(handle(), random(12), random(5000)),
    [Opcode.readdirplus]: () => readIn(handle(), random(12), random(5000)),
    [Opcode.write]: () => writeIn(handle(), random(100_000), Buffer.alloc(random(60_000)), random(4096)),
    [Opcode.release]: () => u64(handle(), 0, 0),
    [Opcode.releasedir]: () => u64(handle(), 0, 0),
    [Opcode.fsync]: () => Buffer.concat([u64(handle()), u32(random(2), 0)]),
    [Opcode.forget]: () => u64(random(3)),
    [Opcode.batchForget]: () => Buffer.concat([u32(random(4), 0), u64(node(), 1, node(), 2)]),
    [Opcode.setattr]: () =>
      Buffer.concat([u32(random(512), 0), u64(handle(), random(100_000)), any(), Buffer.alloc(88)]),
  };
  return random(12) ? (bodies[opcode]?.() ?? any()) : any();
}

/** Numbers out of an answer, which the next requests may use. */
function learn(opcode: number, body: Buffer, known: Known): void {
  const entries: number[] = [Opcode.lookup, Opcode.create, Opcode.mkdir, Opcode.mknod, Opcode.link, Opcode.symlink];
  if (entries.includes(opcode) && body.length >= 128) known.nodes.push(Number(body.readBigUInt64LE(0)));
  if (opcode === Opcode.create && body.length >= 136) known.handles.push(body.readBigUInt64LE(128));
  if ((opcode === Opcode.open || opcode === Opcode.opendir) && body.length >= 8)
    known.handles.push(body.readBigUInt64LE(0));
}

async function play(seed: number): Promise<void> {
  const random = pseudoRandom(seed);
  using client = new FuseClient({ symlinks: POLICIES[seed % 3]!, readOnly: seed % 7 === 0, nodes: 60, handles: 12 });
  prepare(client);
  const known: Known = { nodes: [1], handles: [1n] };
  const opcodes = Object.values(Opcode);
  for (let i = 0; i < REQUESTS; i++) {
    const opcode = opcodes[random(opcodes.length)]!;
    const body = bodyFor(opcode, random, known);
    for (let damage = random(4) ? 0 : random(3); damage > 0 && body.length > 0; damage--)
      body[random(body.length)] = random(256);
    const cut = random(15) ? body : body.subarray(0, random(body.length + 1));
    const node = random(15) ? known.nodes[random(known.nodes.length)]! : random(100);
    const silent = [Opcode.forget, Opcode.batchForget, Opcode.interrupt].some((each) => each === opcode);
    if (silent || random(3)) client.say(message(opcode, node, cut, BigInt(1e6 + i)));
    else learn(opcode, (await client.request(opcode, node, cut)).body, known);
    if (random(20) === 0) await turn();
  }
  await expect.poll(() => client.consumed).toBe(client.sent);
  const { nodes, handles } = client.server.counts;
  expect(nodes).toBeLessThanOrEqual(60);
  expect(handles).toBeLessThanOrEqual(12);
  expect(readdirSync(client.beside)).toEqual(["secret"]);
  expect(readFileSync(join(client.beside, "secret"), "utf8")).toBe("untouched");
}

test(`a file server is asked for ${SECONDS} s by a guest that may say anything`, async () => {
  const descriptors = openDescriptors();
  let round = FIRST;
  for (const end = Date.now() + SECONDS * 1000; Date.now() < end; round++) {
    await play(round).catch((cause: unknown) => {
      throw new Error(`SUPERMACHINE_FUZZ_SEED=${round}`, { cause });
    });
    expect(openDescriptors()).toBe(descriptors);
  }
  console.log(`${round - FIRST} rounds of ${REQUESTS} requests, from ${FIRST} on`);
});
