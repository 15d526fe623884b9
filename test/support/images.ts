import { cpSync, mkdirSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { produceOnce } from "../../src/store/index.js";
import { sha256Of } from "./layout-builder.js";

const SCRIPT = join(import.meta.dirname, "../../scripts/make-demo-image.sh");

/** One image as a layout and as an archive, each with the tag `latest`. */
export interface PreparedImage {
  /** Folder of the OCI layout. */
  layout: string;
  /** The same layout as a tar file. */
  archive: string;
}

/**
 * Where made images are kept, so that all test files and later runs share them: `SUPERMACHINE_TEST_CACHE`, else a folder
 * of this user in the system's temporary one. It can be removed at any time between runs.
 */
export function testCache(): string {
  return process.env.SUPERMACHINE_TEST_CACHE || join(tmpdir(), `supermachine-test-cache-${userInfo().uid}`);
}

/** A static busybox in a sane root file system: /etc/passwd with the user `app` (1000:1000), /tmp, the usual folders. */
export function busyboxImage(): Promise<PreparedImage> {
  return demoImage("busybox");
}

/** Debian with python3, from the packages of the archive that this machine uses. Takes a minute the first time. */
export function debianPythonImage(): Promise<PreparedImage> {
  return demoImage("python");
}

/** The same with more Debian packages in it. */
export function debianImageWith(...packages: string[]): Promise<PreparedImage> {
  return demoImage("python", packages);
}

/** Debian with the servers and clients that people use: one image for all tests of real programs. Takes two minutes the first time. */
export function servicesImage(): Promise<PreparedImage> {
  return debianImageWith(...SERVERS, ...CLIENTS);
}

const SERVERS = ["nginx-light", "postgresql-15", "redis-server"];
const CLIENTS = ["apt", "bind9-dnsutils", "ca-certificates", "curl", "git", "iperf3", "python3-pip", "vim-tiny"];

/** The forms in which the tools of the field hand an image over. */
export type PackedForm = "oci" | "oci-archive" | "docker-archive" | "umoci" | "buildah";

/**
 * The image's content as the named tool packs it, as IMAGE text such as `oci-archive:/x.tar`. `oci`, `oci-archive` and
 * `docker-archive` are copies by skopeo, `umoci` unpacks and packs it again as two layers, `buildah` builds it from
 * scratch and pushes it.
 */
export async function packedAs(form: PackedForm, image: PreparedImage): Promise<string> {
  const recipe = await recipeOf(join(image.layout, "index.json"), import.meta.filename);
  const isFolder = form === "oci" || form === "umoci";
  const path = join(testCache(), `${form}-${recipe}${isFolder ? "" : ".tar"}`);
  await once(path, (partial) => PACKERS[form](image, partial));
  return isFolder ? `oci-layout:${path}` : `oci-archive:${path}`;
}

const PACKERS: Record<PackedForm, (image: PreparedImage, to: string) => Promise<void>> = {
  oci: (image, to) => skopeoCopy(image, `oci:${to}:packed`),
  "oci-archive": (image, to) => skopeoCopy(image, `oci-archive:${to}:packed`),
  "docker-archive": (image, to) => skopeoCopy(image, `docker-archive:${to}:example/packed:1.0`),
  umoci: packWithUmoci,
  buildah: packWithBuildah,
};

async function demoImage(kind: "busybox" | "python", packages: string[] = []): Promise<PreparedImage> {
  const folder = join(testCache(), [kind, ...packages, await recipeOf(SCRIPT)].join("-"));
  await once(folder, async (partial) => {
    const layout = join(partial, "layout");
    await mkdir(layout, { recursive: true });
    await execa("bash", [SCRIPT, join(partial, "image.tar"), kind, ...packages]);
    await execa("tar", ["-xf", join(partial, "image.tar"), "-C", layout]);
  });
  return { layout: join(folder, "layout"), archive: join(folder, "image.tar") };
}

/** What something is made of and by, as a part of its name: a change of either makes it anew. */
async function recipeOf(...files: string[]): Promise<string> {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  return sha256Of(Buffer.concat(contents)).slice(7, 19);
}

async function skopeoCopy(image: PreparedImage, to: string): Promise<void> {
  await execa("skopeo", ["--insecure-policy", "copy", "--quiet", `oci:${image.layout}:latest`, to]);
}

/** umoci's own layer generation: a file is added in a second layer. */
async function packWithUmoci(image: PreparedImage, to: string): Promise<void> {
  await withScratch(async (scratch) => {
    cpSync(image.layout, to, { recursive: true });
    await execa("umoci", ["unpack", "--image", `${to}:latest`, join(scratch, "bundle")]);
    mkdirSync(join(scratch, "bundle/rootfs/opt/added"), { recursive: true });
    await execa("umoci", ["repack", "--image", `${to}:packed`, join(scratch, "bundle")]);
    await execa("umoci", ["rm", "--image", `${to}:latest`]);
  });
}

/** The vfs driver and chroot isolation need neither a kernel feature nor a network. */
async function packWithBuildah(image: PreparedImage, to: string): Promise<void> {
  await withScratch(async (scratch) => {
    const stores = ["--root", join(scratch, "root"), "--runroot", join(scratch, "run"), "--storage-driver", "vfs"];
    // A test may have named credentials that are not there, which buildah takes for a mistake.
    const env = { TMPDIR: scratch, DOCKER_CONFIG: undefined, REGISTRY_AUTH_FILE: undefined };
    const buildah = (...argv: string[]) => execa("buildah", [...stores, ...argv], { env });
    await execa("umoci", ["unpack", "--image", `${image.layout}:latest`, join(scratch, "bundle")]);
    const { stdout: container } = await buildah("from", "scratch");
    // Added as an archive, because a copied folder would come to belong to root.
    await execa("tar", ["-C", join(scratch, "bundle/rootfs"), "-cf", join(scratch, "root.tar"), "."]);
    await buildah("add", "--quiet", container, join(scratch, "root.tar"), "/");
    await buildah("run", "--isolation", "chroot", container, "--", "/bin/sh", "-c", "echo made by buildah > /made");
    await buildah("config", "--user", "app", "--env", "MADE=yes", "--workingdir", "/tmp", "--cmd", '["sh"]', container);
    await buildah("commit", "--quiet", container, "packed");
    await buildah("push", "--quiet", "packed", `oci-archive:${to}:packed`);
    await buildah("rm", container);
  });
}

async function withScratch(use: (scratch: string) => Promise<void>): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "supermachine-pack-"));
  try {
    await use(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function once(path: string, make: (partial: string) => Promise<void>): Promise<void> {
  const find = () => stat(path).then(Boolean, () => undefined);
  await produceOnce(path, { find, make });
}
