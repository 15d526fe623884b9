import { createHash } from "node:crypto";

/** The registered digest algorithms of the OCI image specification, with the length of their hexadecimal form. */
const HEX_LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** A digest as a document writes it: `sha256:` and 64, or `sha512:` and 128 lower-case hexadecimal digits. */
export type Digest = `${"sha256" | "sha512"}:${string}`;

/** Whether `text` is a digest of an algorithm that can be verified here. What passes is safe to use as a file name. */
export function isDigest(text: string): text is Digest {
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(text);
  return match !== null && match[2]?.length === HEX_LENGTHS[match[1] ?? ""];
}

/** The two halves of a digest. */
export function splitDigest(digest: Digest): { algorithm: "sha256" | "sha512"; hex: string } {
  const colon = digest.indexOf(":");
  return { algorithm: digest.startsWith("sha512") ? "sha512" : "sha256", hex: digest.slice(colon + 1) };
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
