import { expect, test } from "vitest";
import { buildsInFreshHomes } from "../support/builds.js";

const { build } = buildsInFreshHomes();

test("an instruction can write more than its machine has memory, and all of it, as it is, gets into the layer", async () => {
  const { image } = await build(`FROM $BASE
RUN head -c 5m /dev/urandom > /part && i=0; while [ $i -lt 52 ]; do cat /part; i=$((i+1)); done > /large; ln /part /same; rm /etc/hostname; rm -rf /home; mkdir /home; mkfifo /pipe`);
  await using vm = await image.start();
  const look =
    "stat -c '%s %h' /part /large; tail -c 5m /large | cmp - /part && echo same; ls -A /home; ls -l /pipe | head -c 1";
  const { stdout } = await vm.run(["sh", "-c", look], { timeoutMs: 120_000 });
  expect(stdout).toBe(`${5 * 2 ** 20} 2\n${260 * 2 ** 20} 1\nsame\np`);
});
