import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
const folder = await mkdtemp(join(tmpdir(), "snapshot-"));

// Do the slow part once, then start from there as often as you like: memory, files and processes are as they were.
await using first = await image.start();
await first.writeFile("/tmp/prepared", "ready");
const prepared = await first.snapshot(join(folder, "prepared"));

for (const name of ["one", "two"]) {
  await using vm = await prepared.start({ identity: { hostname: name } });
  console.log((await vm.run(["sh", "-c", "hostname; cat /tmp/prepared"])).stdout.trim().split("\n").join(" "));
}
await rm(folder, { recursive: true });
