import { Image } from "supermachine";

// Baked on first use, found on the next.
const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");

await using vm = await image.start();
const { stdout, exitCode } = await vm.run(["python3", "-c", "print(6 * 7)"]);
console.log(stdout.trim(), exitCode);
