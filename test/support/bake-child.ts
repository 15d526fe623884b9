import { Image } from "../../src/index.js";

// A process that bakes and starts an image, for tests that run several or kill one. usage: bake-child.ts REFERENCE
const [reference = ""] = process.argv.slice(2);
const image = await Image.fromOci(reference, {
  onProgress: ({ phase, state, finished }) =>
    process.stdout.write(`${phase} ${finished ? (state === "present" ? "present" : "finished") : "started"}\n`),
});
process.stdout.write("baked\n");
await using vm = await image.start();
process.stdout.write(`answer ${(await vm.run(["echo", "42"])).stdout}`);
