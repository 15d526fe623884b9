import { Image } from "supermachine";

const image = await Image.fromOci(process.argv[2] ?? "oci-archive:python.tar");

// Two are always ready; a burst may have up to four at a time, the others wait for their turn.
await using pool = image.pool({ min: 2, max: 4 });

const answers = await Promise.all(
  [1, 2, 3, 4, 5, 6].map(async (n) => {
    await using vm = await pool.acquire();
    // Every VM is a clean one: nobody sees what another has written.
    await vm.writeFile("/tmp/n", String(n));
    return (await vm.run(["python3", "-c", "print(int(open('/tmp/n').read()) ** 2)"])).stdout.trim();
  }),
);
console.log(answers.join(" "));
