import { setTimeout as sleep } from "node:timers/promises";
import { Image, prune, removeImages, SupermachineError, verifyStore } from "../../src/index.js";
import { randomFrom } from "./random.js";

// A process that uses the stores, for tests that run several. usage: store-process.ts hold|churn SEED REFERENCE...
const [what, seed = "1", ...references] = process.argv.slice(2);
const say = (word: string) => process.send?.(word);

/** What another process's `rmi` or `prune` may do to an image between two of our steps. */
const REMOVED_MEANWHILE = [
  "ERR_SUPERMACHINE_IMAGE_NOT_FOUND",
  "ERR_SUPERMACHINE_CACHE_MISS",
  "ERR_SUPERMACHINE_CACHE_INVALID",
];

if (what === "hold") {
  // A VM that goes on when its image is removed.
  const image = await Image.fromOci(references[0] ?? "");
  await using vm = await image.start();
  say("running");
  await new Promise((resolve) => process.once("message", resolve));
  const { stdout } = await vm.run(["sh", "-c", "find / -xdev -type f | xargs cat | wc -c; echo $((6 * 7))"]);
  say(stdout);
  process.disconnect();
} else if (what === "churn") {
  const random = randomFrom(Number(seed));
  let answers = 0;
  const operations = [run, run, remove, pruneAll, verify];
  for (let i = 0; i < 14; i++) {
    await random
      .pick(operations)(random.pick(references))
      .catch((error: unknown) => {
        if (!SupermachineError.is(error) || !REMOVED_MEANWHILE.includes(error.code)) throw error;
      });
    await sleep(random.below(50));
  }
  say(String(answers));
  process.disconnect();

  async function run(reference: string): Promise<void> {
    await using vm = await (await Image.fromOci(reference)).start();
    const { stdout } = await vm.run(["sh", "-c", "echo $((6 * 7))"]);
    if (stdout !== "42\n") throw new Error(`the guest answered ${JSON.stringify(stdout)}`);
    answers++;
  }
  async function remove(reference: string): Promise<void> {
    await removeImages([reference], { force: true });
  }
  async function pruneAll(): Promise<void> {
    await prune({ all: random.below(4) === 0 });
  }
  /** Whatever the others are at, nothing is ever damaged or half-there. */
  async function verify(): Promise<void> {
    const { problems } = await verifyStore();
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
  }
}
