import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import * as v from "valibot";
import { readFolder } from "../folder-listing.js";
import type { Listing } from "../tree-listing.js";

/** What a build is made from. */
export interface ToBuild {
  context: string;
  dockerfile: string;
  buildArgs?: Readonly<Record<string, string>> | undefined;
}

const Images = v.array(
  v.object({ id: v.string(), names: v.optional(v.nullable(v.array(v.string()))), layer: v.string() }),
);

let builds = 0;

/** Debian's buildah with a store of its own in a folder, that needs neither a kernel feature nor a network. */
export class Buildah {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Builds as `docker build` would; gives the files of the image and the configuration document. */
  async build({ context, dockerfile, buildArgs = {} }: ToBuild): Promise<{ files: Listing; config: Configuration }> {
    const name = `conformance-${builds++}`;
    const path = join(this.#folder, `${name}.Dockerfile`);
    writeFileSync(path, dockerfile);
    const args = Object.entries(buildArgs).flatMap(([key, value]) => ["--build-arg", `${key}=${value}`]);
    const how = ["--isolation", "chroot", "--layers=false", "--format", "docker", "-q", ...args];
    await this.#run("bud", ...how, "-f", path, "-t", name, context);
    return this.#image(`localhost/${name}:latest`);
  }

  async #run(...args: string[]): Promise<void> {
    const stores = ["--root", join(this.#folder, "root"), "--runroot", join(this.#folder, "run")];
    // A test may have named credentials that are not there, which buildah takes for a mistake.
    const env = { TMPDIR: this.#folder, DOCKER_CONFIG: undefined, REGISTRY_AUTH_FILE: undefined };
    await execa("buildah", [...stores, "--storage-driver", "vfs", ...args], { env, stdin: "ignore" });
  }

  /** As the store has it: with the vfs driver, a layer is a folder with all files of the image. Quicker than to ask for it. */
  #image(name: string): { files: Listing; config: Configuration } {
    const root = join(this.#folder, "root");
    const images = v.parse(Images, JSON.parse(readFileSync(join(root, "vfs-images/images.json"), "utf8")));
    const image = images.find(({ names }) => names?.includes(name));
    if (!image) throw new Error(`buildah has no image ${name}`);
    const document = `=${Buffer.from(`sha256:${image.id}`).toString("base64")}`;
    const { config } = JSON.parse(readFileSync(join(root, "vfs-images", image.id, document), "utf8"));
    return { files: readFolder(join(root, "vfs/dir", image.layer)), config };
  }
}

/** The run configuration of an image, as its document has it. */
export type Configuration = Record<string, unknown>;
