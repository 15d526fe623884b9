import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { acquireLock, lease, produceOnce, replace, trackHalfMade } from "../../src/store/index.js";

// Is started as a process, to hold a lock, to race for one or to die in the middle. usage: store-child.ts WHAT PATH
const [what, path = ""] = process.argv.slice(2);
const say = (word: string) => process.send?.(word);

if (what === "hold") {
  await acquireLock(path);
  say("held");
  await sleep(60_000);
} else if (what === "lease") {
  await lease([path]);
  say("leased");
  await sleep(60_000);
} else if (what === "half-made") {
  const halfMade = await trackHalfMade();
  halfMade.at(`${path}-that was here before`);
  halfMade.at(Buffer.from(path));
  mkdirSync(path);
  writeFileSync(join(path, "half"), "half");
  say("half-made");
  await sleep(60_000);
} else if (what === "race") {
  // Counts how often the thing was made, which is once however many of us run.
  say("ready");
  await new Promise((resolve) => process.once("message", resolve));
  const result = await produceOnce(path, {
    find: async () => (existsSync(path) ? readFileSync(path, "utf8") : undefined),
    make: async (partial) => {
      appendFileSync(`${path}.made`, `${process.pid}\n`);
      await sleep(50);
      writeFileSync(partial, String(process.pid));
    },
  });
  say(result);
  process.disconnect();
} else if (what === "stall") {
  // Never finishes what it makes.
  await using _lock = await acquireLock(`${path}.lock`);
  await replace(path, async (partial) => {
    mkdirSync(partial);
    writeFileSync(join(partial, "half"), "half");
    say("half-made");
    await sleep(60_000);
  });
}
