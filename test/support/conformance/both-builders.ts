import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { exportBuild } from "../../../src/index.js";
import { readErofs } from "../erofs-reader.js";
import { freshHome } from "../test-home.js";
import type { Listing } from "../tree-listing.js";
import { Buildah, type ToBuild } from "./buildah.js";
import { fileDifferences } from "./compare.js";
import { makeContext } from "./context.js";
import { IGNORE_FILES } from "./ignore-cases.js";

/** What an image has, made by us and by buildah. */
export interface ByBoth {
  own: Listing;
  other: Listing;
}

/** Builds by us and by buildah, for the cases of one test file. */
export function bothBuilders() {
  let folder: string;
  let buildah: Buildah;
  let current: ReturnType<typeof freshHome>;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "supermachine-conformance-"));
    makeContext(join(folder, "context"));
    buildah = new Buildah(folder);
    current = freshHome();
    // The template that all tests share.
    vi.stubEnv("SUPERMACHINE_BUILD_MEMORY_MIB", "256");
  });
  afterAll(() => {
    current[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  async function ours(build: ToBuild): Promise<Listing> {
    const dest = join(mkdtempSync(join(folder, "ours-")), "image.erofs");
    await exportBuild({ ...build, outputs: [{ type: "erofs", dest }] });
    return readErofs(dest);
  }

  async function byBoth(build: ToBuild): Promise<ByBoth> {
    const [own, { files }] = await Promise.all([ours(build), buildah.build(build)]);
    return { own, other: files };
  }

  return {
    /** Builds upon the files of {@link makeContext}. */
    build(dockerfile: string): Promise<ByBoth> {
      return byBoth({ context: join(folder, "context"), dockerfile });
    },

    /** Neither builds it, or buildah alone does. */
    async expectFailure(
      lines: string,
      { ignore, byBuildah = true }: { ignore?: string | undefined; byBuildah?: boolean },
    ) {
      const context = mkdtempSync(join(folder, "context-"));
      cpSync(join(folder, "context"), context, { recursive: true, verbatimSymlinks: true });
      if (ignore !== undefined) writeFileSync(join(context, ".dockerignore"), ignore);
      const build = { context, dockerfile: `FROM scratch\n${lines}\n` };
      await expect(ours(build)).rejects.toThrow();
      if (byBuildah) await expect(buildah.build(build)).rejects.toThrow();
      else await buildah.build(build);
    },

    /** A context with this .dockerignore gives the same files. */
    async expectSameWithIgnore(name: string, ignore: string, lines = "COPY . /x/") {
      const context = mkdtempSync(join(folder, "context-"));
      for (const path of IGNORE_FILES) {
        mkdirSync(join(context, dirname(path)), { recursive: true });
        writeFileSync(join(context, path), path);
      }
      writeFileSync(join(context, ".dockerignore"), ignore);
      const { own, other } = await byBoth({ context, dockerfile: `FROM scratch\nWORKDIR /made\n${lines}\n` });
      expect(fileDifferences(name, own, other)).toEqual([]);
    },
  };
}
