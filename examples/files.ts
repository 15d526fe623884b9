import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
await using vm = await image.start();

await vm.writeFile("/data/input.json", JSON.stringify([3, 1, 2]), { createParents: true });
await vm.run([
  "python3",
  "-c",
  "import json; json.dump(sorted(json.load(open('/data/input.json'))), open('/data/out', 'w'))",
]);
console.log(await vm.readFile("/data/out", "utf8"));
