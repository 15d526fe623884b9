import { existsSync } from "node:fs";
import { ImageError } from "../errors.js";
import { type Digest, isDigest } from "./digest.js";
import { formatReference, parseReference, type RegistryReference } from "./reference.js";

/** A folder or a tar file on this machine that holds images, and which of them is meant. */
export interface LocalSource {
  kind: "oci-layout" | "oci-archive";
  path: string;
  /** A tag, or a whole image name as the layout or archive has it. */
  tag?: string;
  digest?: Digest;
}

/** An image in a registry. */
export interface RegistrySource {
  kind: "registry";
  reference: RegistryReference;
}

/** An image in a container engine of this machine, by name or by id. */
export interface EngineSource {
  kind: "docker" | "podman";
  image: { reference: RegistryReference } | { id: Digest };
}

/** Where an image comes from: what a user types as IMAGE, parsed. */
export type ImageSource = LocalSource | RegistrySource | EngineSource;

const LOCAL = /^(oci-layout|oci-archive):(.*)$/s;
const ENGINE = /^(docker|podman):(?!\/\/)(.*)$/s;
const FOREIGN_PREFIX = /^(?:oci|docker-archive|docker-daemon|dir|containers-storage|docker|podman|https?):/;

/**
 * Parses IMAGE: `oci-layout:DIR[:TAG|@DIGEST]`, `oci-archive:FILE[:TAG|@DIGEST]`, `docker:REF`, `podman:REF`, else a registry
 * reference.
 *
 * DIR and FILE may contain colons: the longest beginning that exists is the path, and what follows its colon is the
 * tag. Where none exists, the text is split at its last colon if a tag can stand there.
 * @throws ImageError that says what is wrong with the text.
 */
export function parseImageSource(text: string, exists: (path: string) => boolean = existsSync): ImageSource {
  const local = LOCAL.exec(text);
  if (local) return parseLocal(text, local[1] as LocalSource["kind"], local[2] ?? "", exists);
  const engine = ENGINE.exec(text);
  if (engine) return parseEngine(engine[1] as EngineSource["kind"], engine[2] ?? "");
  try {
    return { kind: "registry", reference: parseReference(text) };
  } catch (error) {
    if (!FOREIGN_PREFIX.test(text)) throw error;
    const hint =
      "Write oci-layout:DIR, oci-archive:FILE, docker:NAME, podman:NAME, or a registry's image name without a prefix.";
    throw new ImageError(`"${text}" does not name an image`, { hint, cause: error });
  }
}

/** The text that names the source; parsing it gives the same source, as long as the same files exist. */
export function formatImageSource(source: ImageSource): string {
  switch (source.kind) {
    case "registry":
      return formatReference(source.reference);
    case "docker":
    case "podman":
      return `${source.kind}:${"id" in source.image ? source.image.id : formatReference(source.image.reference)}`;
    default: {
      const tag = source.tag === undefined ? "" : `:${source.tag}`;
      const digest = source.digest === undefined ? "" : `@${source.digest}`;
      return `${source.kind}:${source.path}${tag}${digest}`;
    }
  }
}

function parseLocal(
  text: string,
  kind: LocalSource["kind"],
  rest: string,
  exists: (path: string) => boolean,
): LocalSource {
  if (rest === "" || rest.includes("\0")) throw new ImageError(`"${text}" names no ${LOCAL_NAMES[kind]}`);
  if (exists(rest)) return { kind, path: rest };
  const { before, digest } = cutDigest(text, rest);
  const withDigest = digest === undefined ? {} : { digest };
  const { path, tag } = cutTag(before, exists);
  if (path === "") throw new ImageError(`"${text}" names no ${LOCAL_NAMES[kind]}`);
  if (tag === "") throw new ImageError(`"${text}" has an empty tag`);
  return { kind, path, ...(tag === undefined ? {} : { tag }), ...withDigest };
}

const LOCAL_NAMES = { "oci-layout": "folder", "oci-archive": "file" } as const;

function cutDigest(text: string, rest: string): { before: string; digest?: Digest } {
  const match = /^(.*)@([a-z0-9+._-]+:[^/@]*)$/is.exec(rest);
  if (!match) return { before: rest };
  const [, before = "", digest = ""] = match;
  if (!isDigest(digest)) throw new ImageError(`"${digest}" in "${text}" is not a sha256 or sha512 digest`);
  return { before, digest };
}

function cutTag(rest: string, exists: (path: string) => boolean): { path: string; tag?: string } {
  if (exists(rest)) return { path: rest };
  for (let colon = rest.lastIndexOf(":"); colon > 0; colon = rest.lastIndexOf(":", colon - 1)) {
    const path = rest.slice(0, colon);
    if (exists(path)) return { path, tag: rest.slice(colon + 1) };
  }
  const last = rest.lastIndexOf(":");
  const canBeTag = last > 0 && !/[/\\]/.test(rest.slice(last + 1));
  return canBeTag ? { path: rest.slice(0, last), tag: rest.slice(last + 1) } : { path: rest };
}

function parseEngine(kind: EngineSource["kind"], name: string): EngineSource {
  const id = /^[0-9a-f]{64}$/.test(name) ? `sha256:${name}` : name;
  if (isDigest(id)) return { kind, image: { id } };
  return { kind, image: { reference: parseReference(name) } };
}
