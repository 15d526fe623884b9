import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");
await using vm = await image.start();

// Files first, then one command after the other while they succeed: one request, one answer.
const built = await vm.run(["python3", "build.py"], {
  cwd: "/tmp",
  stageFiles: { "build.py": "print('built'); open('result', 'w').write('42')" },
  chain: [["cat", "result"]],
  rlimits: { nofile: 256 },
  timeoutMs: 30_000,
});
console.log(built.stdout);

// A command that is left to itself, found again, and heard of.
const server = await vm.exec(["python3", "-uc", "print('listening'); input()"], { stdin: "pipe", keepOutput: true });
server.detach();
const again = await vm.attach(server.pid);
again.stdout.on("data", (chunk) => process.stdout.write(chunk));
again.stdin.end("\n");
console.log((await again.wait()).exitCode, (await vm.files.list("/tmp")).map(({ name }) => name).join(" "));
