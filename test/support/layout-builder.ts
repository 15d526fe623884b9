import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { TarBuilder } from "./tar-builder.js";

/** A descriptor as it goes into a document; tests may make any field of it wrong. */
export interface TestDescriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { os: string; architecture: string; variant?: string };
  annotations?: Record<string, string>;
  [extra: string]: unknown;
}

export interface TestImage {
  /** Blobs of uncompressed tar layers, or layers with something special about them. */
  layers?: (Buffer | TestLayer)[];
  /** Merged over `{ architecture, os, rootfs }` of the document. */
  config?: Record<string, unknown>;
  /** Merged over the manifest. */
  manifest?: Record<string, unknown>;
  manifestType?: string;
  configType?: string;
}

export interface TestLayer {
  bytes: Buffer;
  mediaType?: string;
  diffId?: string;
  descriptor?: Partial<TestDescriptor>;
}

export const TYPES = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

export const REF_NAME = "org.opencontainers.image.ref.name";

/** Go's name of this machine's architecture, which is what images have to be built for. */
export const HOST_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

export function sha256Of(bytes: Buffer | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Makes OCI layouts in memory, malformed ones too: every file can be replaced before it is written out. */
export class LayoutBuilder {
  /** Content by path inside the layout. */
  readonly files = new Map<string, Buffer>([["oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}')]]);

  blob(content: Buffer | string | object, mediaType: string, extra: Partial<TestDescriptor> = {}): TestDescriptor {
    const bytes = toBytes(content);
    const digest = sha256Of(bytes);
    this.files.set(blobPath(digest), bytes);
    return { mediaType, digest, size: bytes.length, ...extra };
  }

  /** Adds an image's blobs and gives its manifest's descriptor. */
  image(image: TestImage = {}, extra: Partial<TestDescriptor> = {}): TestDescriptor {
    const layers = (image.layers ?? [new TarBuilder().file("hello", "hi").finish()]).map((layer) =>
      Buffer.isBuffer(layer) ? { bytes: layer } : layer,
    );
    const diff_ids = layers.map(({ bytes, diffId }) => diffId ?? sha256Of(bytes));
    const rootfs = { type: "layers", diff_ids };
    const document = { architecture: HOST_ARCHITECTURE, os: "linux", config: {}, rootfs, ...image.config };
    const manifest = {
      schemaVersion: 2,
      mediaType: image.manifestType ?? TYPES.manifest,
      config: this.blob(document, image.configType ?? TYPES.config),
      layers: layers.map((layer) => this.blob(layer.bytes, layer.mediaType ?? TYPES.layer, layer.descriptor)),
      ...image.manifest,
    };
    return this.blob(manifest, image.manifestType ?? TYPES.manifest, extra);
  }

  index(manifests: TestDescriptor[], extra: Partial<TestDescriptor> = {}, mediaType = TYPES.index): TestDescriptor {
    return this.blob({ schemaVersion: 2, mediaType, manifests }, mediaType, extra);
  }

  /** Sets `index.json`. */
  root(manifests: TestDescriptor[], more: Record<string, unknown> = {}): this {
    return this.replace("index.json", { schemaVersion: 2, mediaType: TYPES.index, manifests, ...more });
  }

  replace(path: string, content: Buffer | string | object): this {
    this.files.set(path, toBytes(content));
    return this;
  }

  remove(path: string): this {
    this.files.delete(path);
    return this;
  }

  writeTo(folder: string): string {
    for (const [path, bytes] of this.files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), bytes);
    }
    return folder;
  }

  /** The layout as the tar file that `oci-archive:` reads. */
  toTar(prefix = ""): Buffer {
    const tar = new TarBuilder().directory(`${prefix}blobs/`).directory(`${prefix}blobs/sha256/`);
    for (const [path, bytes] of this.files) addLong(tar, prefix + path, bytes);
    return tar.finish();
  }
}

/** Writes a layout that holds one image, without a tag, and gives its builder. */
export function writeLayout(folder: string, image: TestImage = {}): LayoutBuilder {
  const builder = new LayoutBuilder();
  builder.root([builder.image(image)]).writeTo(folder);
  return builder;
}

export function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

export function tagged(name: string): Partial<TestDescriptor> {
  return { annotations: { [REF_NAME]: name } };
}

function addLong(tar: TarBuilder, name: string, bytes: Buffer): void {
  if (name.length > 100) tar.pax({ path: name });
  tar.file(name.slice(0, 100), bytes);
}

function toBytes(content: Buffer | string | object): Buffer {
  if (Buffer.isBuffer(content)) return content;
  return Buffer.from(typeof content === "string" ? content : JSON.stringify(content));
}
