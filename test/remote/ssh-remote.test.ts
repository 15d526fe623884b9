import { describe, expect, test } from "vitest";
import { parseSshRemote, uploadPackCommand } from "../../src/remote/git/ssh-remote.js";
import { submoduleUrl } from "../../src/remote/git/submodules.js";

describe("a repository that is reached by SSH", () => {
  test.each([
    ["git@github.com:a/b.git", ["git", "github.com", 22, "a/b.git"]],
    ["me@host:/srv/x", ["me", "host", 22, "/srv/x"]],
    ["me@host:~you/x", ["me", "host", 22, "~you/x"]],
    ["me@[::1]:x", ["me", "::1", 22, "x"]],
    ["ssh://host/x", ["git", "host", 22, "/x"]],
    ["ssh://me@host:2222/x%20y", ["me", "host", 2222, "/x y"]],
    ["ssh://me@[::1]:2222/~/x", ["me", "::1", 2222, "~/x"]],
  ] as const)("%s", (text, [user, host, port, path]) => {
    expect(parseSshRemote(text)).toEqual({ user, host, port, path });
  });

  test.each(["https://x/y.git", "git://x/y", "x/y", "x:y", "a@b"])("has another form than %s", (text) => {
    expect(parseSshRemote(text)).toBeUndefined();
  });

  test.each([
    "git@-oProxyCommand=x:y",
    "-oProxyCommand=x@host:y",
    "git@host:-x",
    "git@ho st:x",
    "git@host..:x",
    "git@host:x\ny",
    "git@host:x\0y",
    "ssh://-oProxyCommand=x/y",
    "ssh://git@-x/y",
    "ssh://-l@host/y",
    "ssh://%2Doops@host/y",
    "ssh://git@host/%00",
    "ssh://git@host/%0a",
    "ssh://git@host/%ff",
    "ssh://git:password@host/x",
    "ssh://git@host/x?y",
    "ssh://",
  ])("is refused where ssh or a shell may take it for something else: %j", (text) => {
    expect(() => parseSshRemote(text)).toThrow("no form that is safe");
  });

  test("has its path in quotes for the shell at the other end", () => {
    const command = (path: string) => uploadPackCommand({ user: "git", host: "host", port: 22, path });
    expect(command("/a b")).toBe("git-upload-pack '/a b'");
    expect(command("/a'; rm -rf $HOME; '")).toBe("git-upload-pack '/a'\\''; rm -rf $HOME; '\\'''");
    expect(command("/a!b")).toBe("git-upload-pack '/a'\\!'b'");
  });
});

describe("the URL of a submodule", () => {
  test.each([
    ["../b.git", "git@host:team/a.git", "git@host:team/b.git"],
    ["../../b", "git@host:team/a", "git@host:b"],
    ["./b", "ssh://git@host:22/team/a/", "ssh://git@host:22/team/a/b"],
    ["../../../b", "https://host/team/a.git", "https://host/b"],
    ["other@else:b", "git@host:a", "other@else:b"],
    ["https://host/b", "git@host:a", "https://host/b"],
  ])("%s in %s", (url, parent, whole) => expect(submoduleUrl(url, parent)).toBe(whole));

  test.each([
    ["git@host:b", "https://host/a"],
    ["ssh://git@host/b", "git://host/a"],
    ["git@-x:b", "git@host:a"],
    ["file:///etc", "git@host:a"],
    ["/etc", "git@host:a"],
    ["ext::sh -c id", "git@host:a"],
  ])("is refused: %s in %s", (url, parent) => expect(() => submoduleUrl(url, parent)).toThrow());
});
