import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
await using vm = await image.start();

// Something that took a while: a file, and a process that goes on in every clone.
await vm.writeFile("/tmp/state", "prepared");
await vm.exec(["sh", "-c", "while sleep 0.1; do date +%s > /tmp/alive; done"]);

await using fork = await vm.fork({ count: 3, identity: (index) => ({ hostname: `clone-${index}` }) });
for (const { index, error } of fork.failures) console.error(`clone ${index} could not be made: ${error.message}`);

const results = fork.vms.map(async (clone, index) => {
  await clone.writeFile("/tmp/state", ` ${index * index}`);
  const { stdout } = await clone.run(["sh", "-c", "echo $(hostname) $(cat /tmp/state)"]);
  return stdout.trim();
});
console.log((await Promise.all(results)).join("\n"));
console.log(await vm.readFile("/tmp/state", "utf8"));
