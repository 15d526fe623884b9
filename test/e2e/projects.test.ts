import { expect, test } from "vitest";
import { servicesImage } from "../support/images.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { buildAndRun, HOST } from "../support/projects.js";
import { folderServer } from "../support/servers/folder-server.js";
import { makePythonIndex } from "../support/servers/repositories.js";

test("a Python app whose packages come from an index is built, and runs from the snapshot that the build has baked", async () => {
  using folder = temporaryFolder();
  makePythonIndex(folder.path);
  await using index = await folderServer(folder.path);
  const buildArgs = { PIP_INDEX_URL: `http://${HOST}:${index.port}/`, PIP_TRUSTED_HOST: HOST };
  const runs = [[], ["--", "you"]];
  expect(await buildAndRun("python", await servicesImage(), { buildArgs, memoryMiB: 512, runs })).toEqual({
    outputs: ["hello from a wheel\nworld 1000 greeting", "hello from a wheel\nyou 1000 greeting"],
    isBakedOnce: true,
  });
});
