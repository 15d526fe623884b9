import { createServer } from "node:http";
import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");

// The one thing that the code may talk to; here a server of ours, it could as well be "api.example.org:443".
const server = createServer((_, response) => response.end("allowed"));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const port = (server.address() as { port: number }).port;

// What an agent wrote runs with no network but that one host. All else is refused outside of the VM, whatever it does.
await using vm = await image.start({
  egress: { allow: [`host.supermachine.internal:${port}`] },
  onEgress: ({ protocol, allowed, address, names }) => {
    if (!allowed) console.log("denied", protocol, address ?? names.join());
  },
});
const fetch = `import sys, urllib.request
for url in sys.argv[1:]:
    try: print(urllib.request.urlopen(url, timeout=10).read().decode())
    except OSError as error: print(type(error).__name__)`;
const urls = [`http://host.supermachine.internal:${port}`, "http://169.254.169.254/", "http://example.org/"];
const { stdout } = await vm.run(["python3", "-c", fetch, ...urls]);
console.log(stdout.trim());
server.close();
server.closeAllConnections();
