import { expect, test } from "vitest";
import { readMetadata } from "../../src/image/index.js";
import { commitVm, Image, listImages } from "../../src/index.js";
import { buildsInFreshHomes } from "../support/builds.js";

const { build } = buildsInFreshHomes();

test("the files of a running VM become an image of one layer; the VM runs on", async () => {
  const { image } = await build(
    'FROM $BASE\nRUN echo old > /kept && echo gone > /removed\nENV A=1\nCMD ["cat", "/kept"]\n',
  );
  await using vm = await image.start();
  const script =
    "rm /removed; echo new > /kept; mkdir -m 700 /own; chown 7:8 /own; ln /kept /own/link; mkfifo /own/pipe";
  await vm.run(["sh", "-c", script]);
  const loop = await vm.exec(["sh", "-c", "while :; do echo $((i=i+1)) > /count; done"]);
  const { names } = await commitVm(vm, {
    names: ["made"],
    changes: [
      'CMD ["sh", "-c", "cat /kept; echo $A $B; stat -c \\"%u:%g %a %h %F\\" /own /own/link /own/pipe; ls /removed /proc/self/exe"]',
      "ENV B=2",
    ],
    author: "me",
    message: "by hand",
  });
  expect(names).toEqual(["made"]);
  expect((await vm.run(["cat", "/kept"])).stdout).toBe("new\n");
  loop.kill("SIGKILL");
  const made = await Image.open("made");
  const { layers, image: document } = await readMetadata(made.snapshotPath);
  expect(layers).toHaveLength(1);
  expect(document).toMatchObject({ author: "me", config: { Env: expect.arrayContaining(["A=1", "B=2"]) } });
  expect(JSON.stringify(document)).toContain('"comment":"by hand"');
  await using one = await made.start();
  const { stdout, stderr } = await one.run(["sh", "-c", made.config.cmd.at(-1) ?? ""]);
  expect(stdout).toBe("new\n1 2\n7:8 700 2 directory\n0:0 644 2 regular file\n0:0 644 1 fifo\n/proc/self/exe\n");
  expect(stderr).toContain("/removed: No such file");
  expect((await listImages()).map(({ name }) => name)).not.toContainEqual(expect.stringMatching(/^commit-/));
  const { output } = await build("FROM made\nRUN cat /kept\n", { names: ["derived"] });
  expect(output).toBe("new\n");
  await expect(commitVm(vm, { names: ["other"], changes: ["RUN true"] })).rejects.toThrow("RUN cannot be a change");
});
