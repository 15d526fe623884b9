import { Image } from "../../src/index.js";

// Is started as a process, to be killed while it copies files out of a guest. usage: copy-child.ts IMAGE DESTINATION
const [reference = "", destination = ""] = process.argv.slice(2);

const vm = await (await Image.fromOci(reference)).start();
await vm.run(["sh", "-c", "mkdir /tree; head -c 1000000 /dev/urandom > /tree/a; cp /tree/a /tree/b"]);
await vm.copyOut("/tree", destination, {
  onProgress: ({ phase, bytes }) => {
    if (phase !== "unpacking" || bytes === 0) return;
    process.send?.("copying");
    // Stands still in the middle of it.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60_000);
  },
});
