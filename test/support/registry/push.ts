import { execa } from "execa";
import { busyboxImage } from "../images.js";

/** How a tool of the field reaches a registry. */
export interface PushOptions {
  credentials?: string;
  /** Docker's version 2, schema 2 documents instead of OCI's. */
  format?: "oci" | "v2s2";
}

/** Copies the busybox image into a registry with skopeo. */
export async function pushBusybox(destination: string, options: PushOptions = {}): Promise<void> {
  const { layout } = await busyboxImage();
  await pushFrom(`oci:${layout}:latest`, destination, options);
}

/** Copies an image, named as IMAGE or as skopeo does, with all platforms of an index. */
export async function pushFrom(
  source: string,
  destination: string,
  { credentials, format = "oci" }: PushOptions = {},
): Promise<void> {
  await execa("skopeo", [
    ...["--insecure-policy", "copy", "--quiet", "--all", "--dest-tls-verify=false"],
    ...["--format", format],
    ...(credentials === undefined ? [] : ["--dest-creds", credentials]),
    ...[source.replace(/^oci-layout:/, "oci:"), `docker://${destination}`],
  ]);
}
