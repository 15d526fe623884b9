/** What a source of ADD is. */
export type AddSource =
  | { kind: "path"; path: string }
  | { kind: "url"; url: string }
  | {
      kind: "git";
      remote: string;
      /** A branch, a tag or a commit; `undefined` for the repository's default branch. */
      ref: string | undefined;
      /** The folder in it that is wanted; `undefined` for all. */
      folder: string | undefined;
    };

/** `user@host:path`, as ssh(1) has it. */
const SCP_LIKE = /^[a-zA-Z0-9_.-]+@[a-zA-Z0-9.-]+:(?!\/\/).+$/;

/** Tells a git repository from a file on the web and both from a path. `#REF:FOLDER` says what is wanted of a repository. */
export function addSource(text: string): AddSource {
  const at = text.indexOf("#");
  const remote = at < 0 ? text : text.slice(0, at);
  const isGit = /^(?:git|ssh):\/\//.test(text) || SCP_LIKE.test(remote) || /^https?:\/\/[^?]+\.git$/.test(remote);
  if (!isGit) return /^https?:\/\//.test(text) ? { kind: "url", url: text } : { kind: "path", path: text };
  const fragment = at < 0 ? "" : text.slice(at + 1);
  const colon = fragment.indexOf(":");
  const [ref, folder] = colon < 0 ? [fragment, ""] : [fragment.slice(0, colon), fragment.slice(colon + 1)];
  return { kind: "git", remote, ref: ref || undefined, folder: folder || undefined };
}
