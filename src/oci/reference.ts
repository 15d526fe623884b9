import { ImageError } from "../errors.js";
import { type Digest, isDigest } from "./digest.js";

/** What a docker-style reference names. Built by {@link parseReference}, which fills in what docker leaves out. */
export interface RegistryReference {
  /** Host name and optional port of the registry, such as `docker.io`, `localhost:5000` or `[::1]:5000`. */
  registry: string;
  /** Path of the repository in it, such as `library/alpine`. */
  repository: string;
  /** `latest` where the text had neither a tag nor a digest. */
  tag?: string;
  /** When there is one it decides what is fetched; the tag is then only a remark. */
  digest?: Digest;
}

const DEFAULT_REGISTRY = "docker.io";
const OLD_DEFAULT_REGISTRY = "index.docker.io";
const OFFICIAL = "library/";
const MAX_REPOSITORY_LENGTH = 255;

const HOST_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const REGISTRY = new RegExp(`^(?:${HOST_LABEL}(?:\\.${HOST_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const REPOSITORY = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Parses a reference as docker does (the grammar of `distribution/reference`, normalised): `alpine` is
 * `docker.io/library/alpine:latest`, `ghcr.io/a/b@sha256:...` names a digest, a tag and a digest may come together.
 * @throws ImageError that says which part is wrong.
 */
export function parseReference(text: string): RegistryReference {
  const fail = (why: string, hint?: string) =>
    new ImageError(`"${text}" is not an image reference: ${why}`, hint === undefined ? {} : { hint });
  if (text === "") throw fail("it is empty");
  if (/^(?:[0-9a-f]{64})$/.test(text)) throw fail("64 hexadecimal digits name no repository", "Write NAME@sha256:...");

  const { name, tag, digest } = splitSuffixes(text);
  if (digest !== undefined && !isDigest(digest)) throw fail(`"${digest}" is not a sha256 or sha512 digest`);
  if (tag !== undefined && !TAG.test(tag)) throw fail(`"${tag}" is not a tag`);

  const { registry, repository } = splitRegistry(name);
  if (!REGISTRY.test(registry)) throw fail(`"${registry}" is not a registry's host name`);
  if (repository.length > MAX_REPOSITORY_LENGTH)
    throw fail(`its name is longer than ${MAX_REPOSITORY_LENGTH} characters`);
  if (!REPOSITORY.test(repository)) {
    const lower = REPOSITORY.test(repository.toLowerCase());
    throw fail(lower ? "the repository's name must be lower case" : `"${repository}" is not a repository's name`);
  }
  const shownTag = tag ?? (digest === undefined ? "latest" : undefined);
  return {
    registry,
    repository,
    ...(shownTag === undefined ? {} : { tag: shownTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The reference in full, as `docker.io/library/alpine:3.20`. Parsing it gives the same reference again. */
export function formatReference(reference: RegistryReference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** A tag's colon comes after the last slash; any earlier one belongs to the registry's port. */
function splitSuffixes(text: string): { name: string; tag: string | undefined; digest: string | undefined } {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const rest = at < 0 ? text : text.slice(0, at);
  const colon = rest.lastIndexOf(":");
  if (colon <= rest.lastIndexOf("/")) return { name: rest, tag: undefined, digest };
  return { name: rest.slice(0, colon), tag: rest.slice(colon + 1), digest };
}

/** What stands before the first slash is a registry when it looks like a host, and a part of docker.io's path if not. */
function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/.test(first) || first === "localhost" || first.toLowerCase() !== first;
  const registry = !isHost || first === OLD_DEFAULT_REGISTRY ? DEFAULT_REGISTRY : first;
  const repository = isHost ? name.slice(slash + 1) : name;
  const official = registry === DEFAULT_REGISTRY && !repository.includes("/");
  return { registry, repository: official ? OFFICIAL + repository : repository };
}
