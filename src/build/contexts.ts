import { readFile, stat } from "node:fs/promises";
import { addSource, compileIgnoreFile, type PathPatterns } from "../dockerfile/index.js";
import { UsageError } from "../errors.js";

/** What a name stands for in FROM, `COPY --from` and `RUN --mount from=`, instead of a stage or an image of that name. */
export type NamedContext =
  /** As FROM takes it. */
  | { kind: "image"; reference: string }
  | { kind: "folder"; path: string }
  /** What ADD fetches: a git repository, or an archive on the web. */
  | { kind: "remote"; source: string };

const NAME = /^[\w./:@-]+$/;

/**
 * Parses what `--build-context` gives a name: a folder, `docker-image://REFERENCE`, `oci-layout://PATH[:TAG]`, one of the forms of images that FROM
 * takes, or the URL of a git repository or an archive.
 * @throws UsageError
 */
export function parseContext(name: string, text: string): NamedContext {
  if (!NAME.test(name)) throw new UsageError(`${JSON.stringify(name)} is no name for a build context`);
  if (text === "") throw new UsageError(`the build context ${name} is empty`);
  const [, scheme, rest = ""] = /^(docker-image|oci-layout|target|input):(?:\/\/)?(.*)$/s.exec(text) ?? [];
  if (scheme === "docker-image") return { kind: "image", reference: rest };
  if (scheme === "oci-layout") return { kind: "image", reference: `oci-layout:${rest}` };
  if (scheme !== undefined) throw new UsageError(`the build context ${name} cannot be ${text}`);
  if (/^(?:oci-archive|docker|podman):/.test(text)) return { kind: "image", reference: text };
  return addSource(text).kind === "path" ? { kind: "folder", path: text } : { kind: "remote", source: text };
}

/** Parses `NAME=WHAT`. @throws UsageError */
export function parseBuildContext(text: string): [name: string, context: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${JSON.stringify(text)} is not of the form NAME=FOLDER, or NAME=docker-image://REFERENCE`);
}

/** @throws UsageError for a folder that is not there */
export async function parseContexts(given: Readonly<Record<string, string>>): Promise<Map<string, NamedContext>> {
  const contexts = new Map<string, NamedContext>();
  for (const [name, text] of Object.entries(given)) {
    const context = parseContext(name, text);
    const isThere = context.kind !== "folder" || (await isFolder(context.path));
    if (!isThere) throw new UsageError(`the build context ${name}: ${text} is not a folder`);
    contexts.set(name, context);
  }
  return contexts;
}

/** What a folder's own `.dockerignore` leaves out, if it has one. @throws DockerfileError for a pattern that cannot be read */
export async function readIgnoreFile(path: string): Promise<PathPatterns | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
  });
  return text === undefined ? undefined : compileIgnoreFile(text, path);
}

function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}
