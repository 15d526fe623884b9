import { describe, expect, test } from "vitest";
import {
  compileIgnoreFile,
  compilePatterns,
  ignoreFileNames,
  PatternError,
  parseSourcePath,
} from "../../src/dockerfile/index.js";
import { parseIgnoreFile } from "../../src/dockerfile/path-patterns.js";
import { DockerfileError } from "../../src/errors.js";

describe("one pattern", () => {
  test.each<[string, string, boolean]>([
    ["**", "file", true],
    ["**", "dir/file", true],
    ["**/", "file", true],
    ["**/", "dir/file", true],
    ["**/**", "dir/file", true],
    ["dir/**", "dir/file", true],
    ["dir/**", "dir/dir2/file", true],
    ["dir/**", "dir", false],
    ["dir/**", "other/file", false],
    ["dir/", "dir", true],
    ["dir/", "dir/file", true],
    ["**/dir", "dir", true],
    ["**/dir", "a/dir", true],
    ["**/dir", "a/b/dir/file", true],
    ["**/dir2/*", "dir/dir2/file", true],
    ["**/dir2/*", "dir/dir2", false],
    ["**/dir2/**", "dir/dir2/dir3/file", true],
    ["**file", "file", true],
    ["**file", "dir/file", true],
    ["**file", "dir/dir/file", true],
    ["**file", "dir/xfile", true],
    ["**/file", "dir/xfile", false],
    ["**.go", "a/b.go", true],
    ["**.go", "a/b.gox", false],
    ["**/*.go", "b.go", true],
    ["**/*.go", "a/b/c.go", true],
    ["**/*.txt", "a/b.go", false],
    ["a/**/b", "a/b", true],
    ["a/**/b", "a/x/b", true],
    ["a/**/b", "a/x/y/b", true],
    ["a/**/b", "a/xb", false],
    ["a**/b", "ax/b", true],
    ["a**/b", "a/b", true],
    ["a**/b", "a/x/b", true],
    ["a**b", "ab", true],
    ["a**b", "ax/b", true],
    ["a**b", "axb", false],
    ["a**", "abc", true],
    ["a**", "abc/d", true],
    ["a**", "b", false],
    ["**/a/**/b", "x/a/y/z/b", true],
    ["a***b", "aXb", true],
    ["**a*c", "dir/abc", true],
    ["**a*c", "xabc", false],
    ["*", "a", true],
    ["*", "a/b", true],
    ["*/", "a", true],
    ["*/*", "a", false],
    ["*/*", "a/b", true],
    ["*/temp*", "a/temporary.txt", true],
    ["*/temp*", "a/b/temp", false],
    ["*/*/temp*", "a/b/tempx", true],
    ["temp?", "tempa", true],
    ["temp?", "temp", false],
    ["temp?", "tempaa", false],
    ["?", "世", true],
    ["a*b*c", "aXbYc", true],
    ["a*b*c", "abcX", false],
    ["a*", "a/b", true],
    ["a*", "b/a", false],
    ["[ab]c", "bc", true],
    ["[ab]c", "cc", false],
    ["[a-c]", "b", true],
    ["[^a-c]", "d", true],
    ["[^a-c]", "b", false],
    ["[a-cx-z]", "y", true],
    ["[\\]]", "]", true],
    ["[\\-a]", "-", true],
    ["a[b-d]e", "ace", true],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["\\**", "*x", true],
    ["a\\?b", "a?b", true],
    ["a\\?b", "axb", false],
    ["a.b", "a.b", true],
    ["a.b", "axb", false],
    ["a+b", "a+b", true],
    ["a+b", "aab", false],
    ["a(b)|c$", "a(b)|c$", true],
    ["{a,b}", "a", false],
    ["^a", "^a", true],
    ["a b", "a b", true],
    ["a/../b", "b", true],
    ["./a", "a", true],
    ["a/./b", "a/b", true],
    ["/a", "a", true],
    ["/a/b", "a/b", true],
    ["a//b", "a/b", true],
    ["../a", "a", false],
    [".", "a", false],
    [" a ", "a", true],
    ["A", "a", false],
    ["abc.def", "abcdef", false],
    [".*", ".git", true],
    [".*", "a.b", false],
    ["a", "a/b/c/d", true],
    ["b", "a/b", false],
    ["node_modules", "node_modules/x/y", true],
    ["**/node_modules", "p/node_modules/x", true],
    ["!a", "a", false],
    ["日*", "日本", true],
  ])("%j and %j: %s", (pattern, path, expected) => expect(compilePatterns([pattern]).matches(path)).toBe(expected));

  test.each([["["], ["[a"], ["[]"], ["[]a]"], ["[-]"], ["[x-]"], ["[-x]"], ["a\\"], ["[a-]"], ["!"], ["a[/]b"]])(
    "%j is no pattern",
    (pattern) => {
      expect(() => compilePatterns([pattern])).toThrow(PatternError);
    },
  );
});

describe("several patterns", () => {
  test.each<[string[], string, boolean]>([
    [["*.md", "!README.md"], "README.md", false],
    [["*.md", "!README.md"], "x.md", true],
    [["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true],
    [["*.md", "README-secret.md", "!README*.md"], "README-secret.md", false],
    [["!README.md", "*.md"], "README.md", true],
    [["docs", "!docs/README.md"], "docs/README.md", false],
    [["docs", "!docs/README.md"], "docs/x", true],
    [["docs", "!docs/README.md"], "docs", true],
    [["*", "!src"], "src/a/b", false],
    [["*", "!src", "src/a"], "src/a/b", true],
    [["*", "!src", "src/a", "!src/a/b"], "src/a/b/c", false],
    [["**", "!**/*.go"], "a/b.go", false],
    [["**", "!**/*.go"], "a/b.md", true],
    [["a", "!a/b", "!a/c"], "a/c", false],
    [[], "a", false],
    [["", " "], "a", false],
    [["*"], ".", false],
    [["*"], "", false],
  ])("%j and %j: %s", (patterns, path, expected) => expect(compilePatterns(patterns).matches(path)).toBe(expected));

  test.each<[string[], string, boolean]>([
    [["*"], "a", false],
    [["*", "!a"], "a", true],
    [["*", "!a/b"], "a", true],
    [["*", "!a/b"], "a/c", false],
    [["*", "!a/*/c"], "a/b", true],
    [["*", "!**/x"], "a/b/c", true],
    [["a", "!b"], "a", false],
  ])("%j may have exceptions below %j: %s", (patterns, folder, expected) => {
    expect(compilePatterns(patterns).mayHaveExceptionsBelow(folder)).toBe(expected);
  });

  test("an adversary's pattern ends at once", () => {
    const patterns = [`${"*a".repeat(1000)}b`, `${"**/a/".repeat(300)}b`, `${"a?*".repeat(500)}`];
    const { matches } = compilePatterns(patterns);
    expect(matches("a".repeat(4000))).toBe(true);
    expect(compilePatterns(patterns.slice(0, 2)).matches("a/".repeat(1500))).toBe(false);
    expect(() => compilePatterns(["a**".repeat(100)])).toThrow(PatternError);
    expect(() => compilePatterns(["a".repeat(5000)])).toThrow(PatternError);
    expect(() => compilePatterns(new Array(20_000).fill("a"))).toThrow(PatternError);
  });
});

describe(".dockerignore", () => {
  test("comments, empty lines, slashes and white space", () => {
    const text =
      "\uFEFFtest1\n/test2\n/a/file/here\n\nlastfile\r\n# this is a comment\n! /inverted/abs/path\n!\n! \n  # no comment\nx/\n";
    const expected = ["test1", "test2", "a/file/here", "lastfile", "!inverted/abs/path", "!", "!", "# no comment", "x"];
    expect(parseIgnoreFile(text)).toEqual(expected);
  });

  test("a wrong pattern is shown with its line", () => {
    const compile = () => compileIgnoreFile("a\n# c\nb[\n", "app.dockerignore");
    expect(compile).toThrow(DockerfileError);
    expect(compile).toThrow(/^app.dockerignore:3:1: .*bracket/);
  });

  test("one for the Dockerfile comes before the one for the context", () => {
    expect(ignoreFileNames("docker/app.Dockerfile")).toEqual(["docker/app.Dockerfile.dockerignore", ".dockerignore"]);
  });
});

describe("sources", () => {
  const shown = (text: string, parents?: boolean) => {
    const { pivot, segments } = parseSourcePath(text, { parents });
    const show = (list: typeof segments) => list.map((each) => (each.kind === "name" ? each.name : each.kind));
    return pivot.length === 0 ? show(segments) : [show(pivot), show(segments)];
  };

  test.each<[string, boolean, unknown[]]>([
    ["a/b", false, ["a", "b"]],
    ["/a/./b/", false, ["a", "b"]],
    [".", false, []],
    ["../../etc/passwd", false, ["etc", "passwd"]],
    ["a/../../b", false, ["b"]],
    ["a/*.txt", false, ["a", "pattern"]],
    ["a/../*", false, ["pattern"]],
    ["**/x", false, ["pattern", "x"]],
    ["a\\*b", false, ["a\\*b"]],
    ["a\\*b/c?", false, ["a*b", "pattern"]],
    ["arr[[]0].txt", false, ["pattern"]],
    ["a/./b", true, [["a"], ["b"]]],
    ["./b", true, ["b"]],
    ["a/**/c", true, ["a", "folders", "c"]],
    ["a/./b/*/c", true, [["a"], ["b", "pattern", "c"]]],
  ])("%j", (text, parents, expected) => expect(shown(text, parents)).toEqual(expected));

  test("a bracket is matched as Go does", () => {
    const [segment] = parseSourcePath("arr[[]0].txt").segments;
    expect(segment?.kind === "pattern" && [segment.matches("arr[0].txt"), segment.matches("arr0.txt")]).toEqual([
      true,
      false,
    ]);
  });
});
