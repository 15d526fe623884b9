import { request } from "undici";
import type { LayoutBuilder, TestDescriptor } from "../layout-builder.js";
import { blobPath } from "../layout-builder.js";

/** A document of an image, as opposed to a layer or a config. */
const MANIFEST = /(manifest|index|manifest\.list)\.v\d\+json$/;

/**
 * Puts everything of a layout into a registry over plain HTTP, and tags one manifest. Unlike the tools of the field it passes on
 * documents that are wrong.
 */
export async function putLayout(
  builder: LayoutBuilder,
  host: string,
  repository: string,
  manifests: readonly TestDescriptor[],
  tag: string,
): Promise<void> {
  const base = `http://${host}/v2/${repository}`;
  const digests = new Set(manifests.map(({ digest }) => digest));
  for (const [path, bytes] of builder.files) {
    const digest = path.replace("blobs/sha256/", "sha256:");
    if (path.startsWith("blobs/") && !digests.has(digest)) await putBlob(base, digest, bytes);
  }
  for (const [i, manifest] of manifests.entries()) {
    if (!MANIFEST.test(manifest.mediaType)) throw new Error(`${manifest.mediaType} is not a manifest's`);
    const bytes = builder.files.get(blobPath(manifest.digest)) ?? Buffer.alloc(0);
    const name = i === manifests.length - 1 ? tag : manifest.digest;
    const headers = { "content-type": manifest.mediaType };
    const { statusCode, body } = await request(`${base}/manifests/${name}`, { method: "PUT", headers, body: bytes });
    const answer = await body.text();
    if (statusCode !== 201) throw new Error(`the registry took no manifest: ${statusCode} ${answer}`);
  }
}

async function putBlob(base: string, digest: string, bytes: Buffer): Promise<void> {
  const start = await request(`${base}/blobs/uploads/`, { method: "POST" });
  await start.body.dump();
  const url = new URL(String(start.headers.location), base);
  url.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  const { statusCode, body } = await request(url, { method: "PUT", headers, body: bytes });
  await body.dump();
  if (statusCode !== 201) throw new Error(`the registry took no blob: ${statusCode}`);
}
