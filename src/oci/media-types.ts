/** How the bytes of a layer's blob are packed. */
export type Compression = "none" | "gzip" | "zstd";

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
/** Snapshots as artifacts (docs/artifacts.md): the type of the manifest, and of its config. */
export const SNAPSHOT_ARTIFACT = "application/vnd.supermachine.snapshot.v1";
export const SNAPSHOT_CONFIG = "application/vnd.supermachine.snapshot.config.v1+json";
/** Annotation of a snapshot's manifest: what its processes are built for, as `linux/arm64/v8`. */
export const SNAPSHOT_PLATFORM = "vnd.supermachine.platform";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const OCI_RESTRICTED_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";

const LAYERS: ReadonlyMap<string, Compression> = new Map([
  ...[OCI_LAYER, OCI_RESTRICTED_LAYER].flatMap((type): [string, Compression][] => [
    [type, "none"],
    [`${type}+gzip`, "gzip"],
    [`${type}+zstd`, "zstd"],
  ]),
  // Docker writes a dot; containerd writes "+zstd" and "+gzip" after docker's types as well.
  ...[DOCKER_LAYER, DOCKER_FOREIGN_LAYER].flatMap((type): [string, Compression][] => [
    [type, "none"],
    [`${type}.gzip`, "gzip"],
    [`${type}+gzip`, "gzip"],
    [`${type}.zstd`, "zstd"],
    [`${type}+zstd`, "zstd"],
  ]),
]);

/** The media type of an OCI layer that is packed like that. */
export function layerMediaType(compression: Compression): string {
  return compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`;
}

/** How a layer of this media type is packed; `undefined` when it is no file system layer that is known here. */
export function layerCompression(mediaType: string): Compression | undefined {
  return LAYERS.get(mediaType);
}

export function isIndex(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

export function isManifest(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

export function isConfig(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}
