import { expect, test } from "vitest";
import { BuildMachines } from "../../src/build/machine.js";
import { openImage } from "../../src/oci/index.js";
import { ensureLayers } from "../../src/image/layers.js";
import { openRuntime } from "../../src/machine/index.js";
import { LayerStore, layerArchive } from "../../src/rootfs/index.js";
import { home } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { writeFileSync } from "node:fs";

test("probe", async () => {
  const reference = `oci-archive:${(await busyboxImage()).archive}`;
  const runtime = await openRuntime();
  await using content = await openImage(reference);
  const layers = await ensureLayers(content, {});
  using machines = new BuildMachines(runtime, { memoryMiB: 256, vcpus: 1 });
  const store = new LayerStore(home().layers);
  let output = "";
  for (let i = 0; i < 3; i++) {
    const t = performance.now();
    const result = await machines.run(
      layers,
      {
        argv: ["/bin/sh", "-c", "echo hi; cat /etc/hosts; id; mkdir -p /opt/x && echo y > /opt/x/y && ln /opt/x/y /opt/x/z && ln -s y /opt/x/l && rm -rf /home; chmod 1777 /opt; mkfifo /opt/p; rm /etc/hosts; ls -la / /etc"],
        env: { A: "b" }, cwd: "/", user: "", egress: "none",
        onOutput: (_s, b) => { output += b; },
      },
      store, {},
    );
    console.log(performance.now() - t, JSON.stringify(result));
    if (result.layer) {
      const parts: Buffer[] = [];
      for await (const c of layerArchive(result.layer.path)) parts.push(c);
      writeFileSync(".tmp/layer.tar", Buffer.concat(parts));
    }
  }
  console.log(output);
  expect(1).toBe(1);
});
