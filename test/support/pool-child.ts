import { Image } from "../../src/index.js";

// A process with a pool that ends as it is told, never by closing the pool. usage: pool-child.ts REFERENCE release|hold|churn
const [reference = "", what] = process.argv.slice(2);
const image = await Image.fromOci(reference);
const pool = image.pool({ min: 1 });
const vm = await pool.acquire();
process.stdout.write(`answer ${(await vm.run(["echo", "42"])).stdout}`);
if (what === "release") await vm.release();
while (what === "churn") {
  await Promise.all(
    [1, 2, 3].map(async () => {
      await using each = await pool.acquire();
      await each.run(["true"]);
    }),
  );
}
