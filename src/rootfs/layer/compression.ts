import { ImageError } from "../../errors.js";

/** How a layer's archive is packed. */
export type Compression = "none" | "gzip" | "zstd";

const MAGICS: readonly [Compression | "bzip2" | "xz", Buffer][] = [
  ["gzip", Buffer.from([0x1f, 0x8b, 0x08])],
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["bzip2", Buffer.from("BZh", "latin1")],
  ["xz", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
];

const MEDIA_TYPES: Record<string, Compression> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar": "none",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
};

/** Checks that a layer of this media type is an archive that can be read. */
export function checkLayerMediaType(mediaType: string): void {
  if (Object.hasOwn(MEDIA_TYPES, mediaType)) return;
  throw new ImageError(`The layer's media type ${JSON.stringify(mediaType)} is not known`, {
    hint: "Layers are tar archives, plain or packed by gzip or zstd, in the OCI's or Docker's notation.",
  });
}

/** So many bytes tell how an archive is packed. */
export const MAGIC_SIZE = 6;

/**
 * How an archive that begins like this is packed. As in containerd and Docker, the content counts and not the media type: there
 * are plain layers labelled as gzip.
 */
export function detectCompression(start: Buffer): Compression {
  const found = MAGICS.find(([, magic]) => start.subarray(0, magic.length).equals(magic))?.[0];
  if (found === "bzip2" || found === "xz") {
    throw new ImageError(`The layer is packed by ${found}, which OCI images do not use`, {
      hint: "Pack it by gzip or zstd, or leave it plain.",
    });
  }
  if (found === "gzip" || found === "zstd") return found;
  return isSkippableFrame(start) ? "zstd" : "none";
}

/** zstd archives may begin with a frame of other data (0x184D2A50 to 0x184D2A5F). */
function isSkippableFrame(start: Buffer): boolean {
  return start.length >= 4 && (start.readUInt32LE(0) & 0xffff_fff0) >>> 0 === 0x184d_2a50;
}
