import { expect, test } from "vitest";
import { debianImageWith } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { buildAndRun, HOST } from "../support/projects.js";
import { folderServer } from "../support/servers/folder-server.js";
import { makeNpmRegistry } from "../support/servers/repositories.js";

test("a Node app whose packages come from a registry is built, and runs from the snapshot that the build has baked", async () => {
  const base = await debianImageWith("nodejs", "npm");
  using folder = temporaryFolder();
  await using registry = await folderServer(folder.path);
  const url = `http://${HOST}:${registry.port}`;
  makeNpmRegistry(folder.path, url);
  const buildArgs = { NPM_CONFIG_REGISTRY: `${url}/` };
  expect(await buildAndRun("node", base, { buildArgs, memoryMiB: 512, runs: [[]] })).toEqual({
    outputs: ["hello from npm, world production 1000"],
    isBakedOnce: true,
  });
});

test("a C program is built with a compiler that its image does not have, and runs from the snapshot that the build has baked", async () => {
  const base = await debianImageWith("gcc", "libc6-dev", "make");
  expect(await buildAndRun("c", base, { memoryMiB: 512, runs: [[]] })).toEqual({
    outputs: ["hello world from C\nuser 65534"],
    isBakedOnce: true,
  });
});
