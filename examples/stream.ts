import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
await using vm = await image.start();

// A process with live streams: what is not read waits in the guest, it never fills the host's memory.
const upper = await vm.exec(["python3", "-uc", "import sys\nfor line in sys.stdin: print(line.upper(), end='')"], {
  stdin: "pipe",
});
upper.stdin.end("one\ntwo\n");
for await (const chunk of upper.stdout) process.stdout.write(chunk);
console.log((await upper.wait()).exitCode);
