import { describe, expect, test } from "vitest";
import { type AddSource, addSource } from "../../src/dockerfile/index.js";

const git = (remote: string, ref?: string, folder?: string): AddSource => ({ kind: "git", remote, ref, folder });
const path = (text: string): AddSource => ({ kind: "path", path: text });
const url = (text: string): AddSource => ({ kind: "url", url: text });

describe("what a source of ADD is", () => {
  test.each<[string, AddSource]>([
    ["a/b", path("a/b")],
    ["./x.git", path("./x.git")],
    ["github.com/a/b", path("github.com/a/b")],
    ["a@b", path("a@b")],
    ["http.txt", path("http.txt")],
    ["http://x/y", url("http://x/y")],
    ["https://x/y.tar.gz", url("https://x/y.tar.gz")],
    ["https://x/y?z=.git", url("https://x/y?z=.git")],
    ["https://x/y#z", url("https://x/y#z")],
    ["https://x/y.git", git("https://x/y.git")],
    ["http://x/y.git#v1", git("http://x/y.git", "v1")],
    ["https://x/y.git#v1:docs/a", git("https://x/y.git", "v1", "docs/a")],
    ["https://x/y.git#:docs", git("https://x/y.git", undefined, "docs")],
    ["https://x/y.git#", git("https://x/y.git")],
    ["git://x/y", git("git://x/y")],
    ["ssh://git@x:22/y#main", git("ssh://git@x:22/y", "main")],
    ["git@github.com:a/b.git", git("git@github.com:a/b.git")],
    ["git@github.com:a/b#c", git("git@github.com:a/b", "c")],
  ])("%s", (text, expected) => expect(addSource(text)).toEqual(expected));
});
