import { createHash, type Hash } from "node:crypto";
import { ImageError } from "../../errors.js";

const HEX_LENGTH: Record<string, number> = { sha256: 64, sha512: 128 };

/** A content digest such as `sha256:9f86d0...`, split. */
export interface Digest {
  algorithm: string;
  hex: string;
}

/**
 * Reads a digest in the OCI's notation.
 *
 * @throws ImageError when it is malformed or of an algorithm other than SHA-256 and SHA-512.
 */
export function parseDigest(text: string): Digest {
  const match = /^([a-z0-9]+):([0-9a-f]+)$/.exec(text);
  const [, algorithm, hex] = match ?? [];
  if (algorithm === undefined || hex === undefined || HEX_LENGTH[algorithm] !== hex.length) {
    throw new ImageError(`${JSON.stringify(text)} is not a digest`, {
      hint: "Digests look like sha256:64 hex digits.",
    });
  }
  return { algorithm, hex };
}

/** Computes the digest of bytes as they pass, and compares it with the one they should have. */
export class DigestCheck {
  readonly #expected: string;
  readonly #algorithm: string;
  readonly #hash: Hash;
  #result: Buffer | undefined;

  constructor(expected: string) {
    this.#expected = expected;
    this.#algorithm = parseDigest(expected).algorithm;
    this.#hash = createHash(this.#algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** The digest's bytes, once all have passed. */
  value(): Buffer {
    this.#result ??= this.#hash.digest();
    return this.#result;
  }

  /** @throws ImageError when the bytes were not those that were expected. */
  verify(what: string): void {
    const actual = `${this.#algorithm}:${this.value().toString("hex")}`;
    if (actual === this.#expected) return;
    throw new ImageError(`The ${what} is not the expected content: expected ${this.#expected}, got ${actual}`, {
      hint: "The copy is damaged, or the image's documents name other content: fetch or make the image again.",
    });
  }
}
