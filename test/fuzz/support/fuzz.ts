import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pseudoRandom } from "../../guest/frame-builder.js";
import { Corpus } from "./corpus.js";
import type { Coverage } from "./coverage.js";
import { mutate } from "./mutate.js";

/** How long each target is fuzzed. */
export const SECONDS = Number(process.env.SUPERMACHINE_FUZZ_SECONDS ?? 600);
const SEED = Number(process.env.SUPERMACHINE_FUZZ_SEED ?? Date.now() % 1e6);
const INPUT_BYTES_MAX = 4_096;
/** Reading the counters takes some milliseconds, so they are read after so many inputs and not after each. */
const BATCH = 300;
/** What has not come to an end by then never will, on however busy a machine. */
const LIMIT_MS = 60_000;

export interface Target {
  /** Of its folder of inputs, and of what it says. */
  name: string;
  /** What the first inputs are made of, besides the corpus. */
  seeds: readonly Buffer[];
  /** Takes the input in; throws if anything but what may happen has happened. */
  run(input: Buffer): void | Promise<void>;
}

/**
 * Changes inputs at random for {@link SECONDS}, and goes on with those that run something new. At the end the corpus has the shortest
 * inputs that together run all that has ever run.
 */
export async function fuzz(target: Target, coverage: Coverage): Promise<void> {
  const random = pseudoRandom(SEED);
  const corpus = new Corpus(target.name);
  const known = new Set<string>();
  const pool: Buffer[] = [];
  await learn(target, coverage, [...corpus.read(), ...target.seeds], known, pool);
  const atFirst = known.size;
  let runs = 0;
  for (const end = Date.now() + SECONDS * 1000; Date.now() < end; runs += BATCH) {
    const batch = Array.from({ length: BATCH }, () =>
      mutate(pool[random(pool.length)]!, random, pool, INPUT_BYTES_MAX),
    );
    for (const input of batch) await attempt(target, input);
    const blocks = coverage.take();
    if (!isNew(blocks, known)) continue;
    await learn(target, coverage, batch, known, pool);
    // What timing alone brings about is not looked for again and again.
    for (const block of blocks) known.add(block);
  }
  corpus.replace(await shortest(target, coverage, pool));
  console.log(
    `${target.name}: ${runs} inputs from seed ${SEED}; ${known.size} blocks have run, ${atFirst} of them at first`,
  );
}

async function attempt(target: Target, input: Buffer): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not ended in ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    await Promise.race([target.run(input), limit]);
  } catch (cause) {
    const file = join(mkdtempSync(join(tmpdir(), "supermachine-fuzz-")), target.name);
    writeFileSync(file, input);
    throw new Error(`${target.name} fails with the ${input.length} bytes in ${file}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** Finds the inputs that run something new by halves, and adds them to the pool. */
async function learn(
  target: Target,
  coverage: Coverage,
  inputs: readonly Buffer[],
  known: Set<string>,
  pool: Buffer[],
): Promise<void> {
  coverage.take();
  for (const input of inputs) await attempt(target, input);
  const blocks = coverage.take();
  if (inputs.length === 0 || (!isNew(blocks, known) && pool.length > 0)) return;
  if (inputs.length === 1) {
    for (const block of blocks) known.add(block);
    pool.push(...inputs);
    return;
  }
  const half = Math.ceil(inputs.length / 2);
  await learn(target, coverage, inputs.slice(0, half), known, pool);
  await learn(target, coverage, inputs.slice(half), known, pool);
}

async function shortest(target: Target, coverage: Coverage, inputs: readonly Buffer[]): Promise<Buffer[]> {
  const kept: Buffer[] = [];
  const byLength = [...inputs].sort((one, other) => one.length - other.length);
  const known = new Set<string>();
  for (const input of byLength) await learn(target, coverage, [input], known, kept);
  return kept;
}

function isNew(blocks: ReadonlySet<string>, known: ReadonlySet<string>): boolean {
  for (const block of blocks) if (!known.has(block)) return true;
  return false;
}
