import { UsageError } from "../../errors.js";

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
 * @throws UsageError when it is neither http, https nor git://
 */
export function submoduleUrl(url: string, parent: string): string {
  if (!/^\.{1,2}\//.test(url)) return requireRemote(url);
  const base = new URL(parent);
  const parts = base.pathname.replace(/\/$/, "").split("/");
  for (const part of url.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  base.pathname = parts.join("/");
  return requireRemote(base.href);
}

function requireRemote(url: string): string {
  if (/^(?:https?|git):\/\//.test(url) && URL.canParse(url)) return url;
  throw new UsageError(`a submodule is at ${JSON.stringify(url)}: only https, http and git:// are supported`);
}
