import { UsageError } from "../../errors.js";
import { parseSshRemote } from "./ssh-remote.js";

/** Where the submodules of a repository are, by their paths. The form is that of git-config(1). */
export function parseModules(text: string): Map<string, string> {
  const urls = new Map<string, string>();
  let section: { path?: string; url?: string } = {};
  const close = () => {
    if (section.path !== undefined && section.url !== undefined) urls.set(section.path, section.url);
  };
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    if (line.startsWith("[")) {
      close();
      section = {};
      continue;
    }
    const [, key, value = ""] = /^(path|url)\s*=\s*(.*?)\s*$/i.exec(line) ?? [];
    if (key === undefined) continue;
    section[key.toLowerCase() as "path" | "url"] = value.replace(/^"(.*)"$/, "$1");
  }
  close();
  return urls;
}

/**
 * The URL of a submodule, which may be relative to that of the repository which has it.
 * @throws UsageError when it is neither http, https nor git://; nor SSH, in a repository that was reached by SSH itself: others have no say in what
 * the user's keys are used for
 */
export function submoduleUrl(url: string, parent: string): string {
  const isSsh = parseSshRemote(parent) !== undefined;
  const whole = /^\.{1,2}\//.test(url) ? relativeTo(parent, url) : url;
  const isRemote = /^(?:https?|git):\/\//.test(whole) && URL.canParse(whole);
  if (isRemote || (isSsh && parseSshRemote(whole))) return whole;
  const known = isSsh ? "https, http, git:// and SSH" : "https, http and git://";
  throw new UsageError(`a submodule is at ${JSON.stringify(url)}: only ${known} are supported`);
}

function relativeTo(parent: string, url: string): string {
  const [, server = "", path = ""] = /^([a-z]+:\/\/[^/]*|[^:]*:)(.*)$/s.exec(parent) ?? [];
  const parts = path.replace(/\/$/, "").split("/");
  for (const part of url.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  const joined = parts.join("/");
  const isAbsolute = path.startsWith("/") && !joined.startsWith("/");
  return `${server}${isAbsolute ? "/" : ""}${joined}`;
}
