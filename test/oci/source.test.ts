import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { formatImageSource, type ImageSource, parseImageSource } from "../../src/oci/index.js";

const DIGEST = `sha256:${"a1".repeat(32)}` as const;

/** Text, the paths that exist, what it means. */
const LOCAL: [string, string[], ImageSource][] = [
  ["oci-layout:dir", [], { kind: "oci-layout", path: "dir" }],
  ["oci-layout:dir:tag", [], { kind: "oci-layout", path: "dir", tag: "tag" }],
  ["oci-layout:/a/b:1.0", ["/a/b"], { kind: "oci-layout", path: "/a/b", tag: "1.0" }],
  ["oci-layout:dir:tag", ["dir:tag"], { kind: "oci-layout", path: "dir:tag" }],
  ["oci-layout:dir:tag", ["dir", "dir:tag"], { kind: "oci-layout", path: "dir:tag" }],
  ["oci-layout:a:b:c", ["a:b"], { kind: "oci-layout", path: "a:b", tag: "c" }],
  ["oci-layout:a:b:c", ["a"], { kind: "oci-layout", path: "a", tag: "b:c" }],
  ["oci-layout:a:b:c", [], { kind: "oci-layout", path: "a:b", tag: "c" }],
  ["oci-layout:12:30/dir", [], { kind: "oci-layout", path: "12:30/dir" }],
  ["oci-layout:C:\\images\\x", [], { kind: "oci-layout", path: "C:\\images\\x" }],
  [`oci-layout:dir@${DIGEST}`, [], { kind: "oci-layout", path: "dir", digest: DIGEST }],
  [`oci-layout:dir:tag@${DIGEST}`, ["dir"], { kind: "oci-layout", path: "dir", tag: "tag", digest: DIGEST }],
  [`oci-layout:odd@${DIGEST}`, [`odd@${DIGEST}`], { kind: "oci-layout", path: `odd@${DIGEST}` }],
  ["oci-layout:me@home", [], { kind: "oci-layout", path: "me@home" }],
  ["oci-layout:me@home:8/dir", [], { kind: "oci-layout", path: "me@home:8/dir" }],
  ["oci-archive:x.tar", [], { kind: "oci-archive", path: "x.tar" }],
  ["oci-archive:x.tar:3.20", ["x.tar"], { kind: "oci-archive", path: "x.tar", tag: "3.20" }],
  [
    "oci-archive:x.tar:docker.io/library/alpine:3.20",
    ["x.tar"],
    { kind: "oci-archive", path: "x.tar", tag: "docker.io/library/alpine:3.20" },
  ],
  ["oci-archive:./dir/with space.tar", [], { kind: "oci-archive", path: "./dir/with space.tar" }],
];

const REMOTE: [string, ImageSource][] = [
  ["alpine", { kind: "registry", reference: { registry: "docker.io", repository: "library/alpine", tag: "latest" } }],
  ["oci/archive:x", { kind: "registry", reference: { registry: "docker.io", repository: "oci/archive", tag: "x" } }],
  [
    "docker:alpine:3.20",
    { kind: "docker", image: { reference: { registry: "docker.io", repository: "library/alpine", tag: "3.20" } } },
  ],
  [
    "docker:ghcr.io/a/b",
    { kind: "docker", image: { reference: { registry: "ghcr.io", repository: "a/b", tag: "latest" } } },
  ],
  [`docker:${DIGEST}`, { kind: "docker", image: { id: DIGEST } }],
  ["podman:a/b:1", { kind: "podman", image: { reference: { registry: "docker.io", repository: "a/b", tag: "1" } } }],
  [`podman:${DIGEST}`, { kind: "podman", image: { id: DIGEST } }],
  [`docker:${DIGEST.slice(7)}`, { kind: "docker", image: { id: DIGEST } }],
];

const INVALID: [string, RegExp][] = [
  ["oci-layout:", /names no folder/],
  ["oci-archive:", /names no file/],
  ["oci-archive:x\0.tar", /names no file/],
  ["oci-layout:dir:", /empty tag/],
  [`oci-layout:@${DIGEST}`, /names no folder/],
  ["oci-layout:dir@sha256:abc", /not a sha256 or sha512 digest/],
  ["oci-layout:dir@md5:d41d8cd98f00b204e9800998ecf8427e", /not a sha256 or sha512 digest/],
  ["docker:", /empty/],
  ["docker:Upper", /lower case/],
  ["podman:", /empty/],
  ["podman://alpine", /oci-layout:DIR, oci-archive:FILE/],
  ["docker://alpine", /oci-layout:DIR, oci-archive:FILE/],
  ["oci:/some/dir", /oci-layout:DIR, oci-archive:FILE/],
  ["docker-archive:/some/file.tar", /oci-layout:DIR, oci-archive:FILE/],
  ["https://example.com/alpine", /oci-layout:DIR, oci-archive:FILE/],
  ["", /empty/],
];

describe("parseImageSource", () => {
  it.each(LOCAL)("reads %s when %j exist", (text, existing, source) => {
    expect(parseImageSource(text, (path) => existing.includes(path))).toEqual(source);
  });

  it.each(LOCAL)("writes %s so that it reads the same again when %j exist", (text, existing, source) => {
    expect(formatImageSource(source)).toBe(text);
    expect(parseImageSource(formatImageSource(source), (path) => existing.includes(path))).toEqual(source);
  });

  it.each(REMOTE)("reads %s", (text, source) => {
    expect(parseImageSource(text)).toEqual(source);
    expect(parseImageSource(formatImageSource(source))).toEqual(source);
  });

  it.each(INVALID)("refuses %j", (text, reason) => {
    expect(() => parseImageSource(text, () => false)).toThrow(ImageError);
    expect(() => parseImageSource(text, () => false)).toThrow(reason);
  });

  it("splits at colons of what exists on this machine", () => {
    expect(parseImageSource(`oci-layout:${import.meta.dirname}:x`)).toEqual({
      kind: "oci-layout",
      path: import.meta.dirname,
      tag: "x",
    });
  });
});
