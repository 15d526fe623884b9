import { ExecTimeoutError, Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
await using vm = await image.start();

// What an agent wrote: it loops for ever and fills its output. Neither harms the host.
await vm.writeFile("/tmp/main.py", "while True: print('working')");
try {
  await vm.run(["python3", "-u", "/tmp/main.py"], { user: "nobody", timeoutMs: 5_000, maxOutputBytes: 64 });
} catch (error) {
  if (!(error instanceof ExecTimeoutError)) throw error;
  console.log(error.code, JSON.stringify(error.stdout.slice(0, 8)));
}
