import { describe, expect, it } from "vitest";
import { ImageError } from "../../src/errors.js";
import { formatReference, parseReference } from "../../src/oci/index.js";

const F64 = "f".repeat(64);
const SHA256 = `sha256:${F64}`;
const SHA512 = `sha512:${"0a".repeat(64)}`;
const HEX = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
const LONG = "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev";

/** Input, registry, repository, tag, digest. */
const VALID: [string, string, string, (string | undefined)?, string?][] = [
  // Names without a registry
  ["alpine", "docker.io", "library/alpine", "latest"],
  ["alpine:3.20", "docker.io", "library/alpine", "3.20"],
  ["a", "docker.io", "library/a", "latest"],
  ["0", "docker.io", "library/0", "latest"],
  ["dbcc1", "docker.io", "library/dbcc1", "latest"],
  [HEX.slice(1), "docker.io", `library/${HEX.slice(1)}`, "latest"],
  [`${HEX}:tag`, "docker.io", `library/${HEX}`, "tag"],
  [LONG, "docker.io", `library/${LONG}`, "latest"],
  ["ubuntu-12.04-base", "docker.io", "library/ubuntu-12.04-base", "latest"],
  ["test_com", "docker.io", "library/test_com", "latest"],
  ["test_com/foo", "docker.io", "test_com/foo", "latest"],
  ["docker/docker", "docker.io", "docker/docker", "latest"],
  ["library/debian", "docker.io", "library/debian", "latest"],
  ["library/foo/bar", "docker.io", "library/foo/bar", "latest"],
  ["store/foo/bar", "docker.io", "store/foo/bar", "latest"],
  ["aa-a/a", "docker.io", "aa-a/a", "latest"],
  ["a/a/a/a", "docker.io", "a/a/a/a", "latest"],
  ["foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080"],
  ["do__cker/docker", "docker.io", "do__cker/docker", "latest"],
  ["dock__er/docker", "docker.io", "dock__er/docker", "latest"],
  ["docker---rules/docker", "docker.io", "docker---rules/docker", "latest"],
  ["d/docker", "docker.io", "d/docker", "latest"],
  ["jess/t", "docker.io", "jess/t", "latest"],
  [`${"a/".repeat(127)}a`, "docker.io", `${"a/".repeat(127)}a`, "latest"],
  [`${"a/".repeat(127)}a:tag-beyond-the-limit`, "docker.io", `${"a/".repeat(127)}a`, "tag-beyond-the-limit"],
  // What looks like a host alone is a name, and its port a tag
  ["test.com", "docker.io", "library/test.com", "latest"],
  ["test.com:tag", "docker.io", "library/test.com", "tag"],
  ["test.com:5000", "docker.io", "library/test.com", "5000"],
  ["192.168.1.1", "docker.io", "library/192.168.1.1", "latest"],
  ["192.168.1.1:5000", "docker.io", "library/192.168.1.1", "5000"],
  ["foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080"],
  ["localhost", "docker.io", "library/localhost", "latest"],
  ["localhost:8080", "docker.io", "library/localhost", "8080"],
  [`localhost:8080@${SHA256}`, "docker.io", "library/localhost", "8080", SHA256],
  [`localhost@${SHA256}`, "docker.io", "library/localhost", undefined, SHA256],
  // Docker Hub by name
  ["docker.io/foo", "docker.io", "library/foo", "latest"],
  ["docker.io/library/foo", "docker.io", "library/foo", "latest"],
  ["docker.io/library/foo/bar", "docker.io", "library/foo/bar", "latest"],
  ["docker.io/docker/docker", "docker.io", "docker/docker", "latest"],
  [`docker.io/${HEX}`, "docker.io", `library/${HEX}`, "latest"],
  ["index.docker.io/debian", "docker.io", "library/debian", "latest"],
  ["index.docker.io/library/debian", "docker.io", "library/debian", "latest"],
  ["index.docker.io/docker/docker", "docker.io", "docker/docker", "latest"],
  // Other registries
  ["test.com/foo", "test.com", "foo", "latest"],
  ["test.com/repo:tag", "test.com", "repo", "tag"],
  ["test:5000/repo", "test:5000", "repo", "latest"],
  ["test:5000/repo:tag", "test:5000", "repo", "tag"],
  [`test:5000/repo@${SHA256}`, "test:5000", "repo", undefined, SHA256],
  [`test:5000/repo:tag@${SHA256}`, "test:5000", "repo", "tag", SHA256],
  ["test-com:8080/foo", "test-com:8080", "foo", "latest"],
  ["localhost/x", "localhost", "x", "latest"],
  ["localhost:5000/x", "localhost:5000", "x", "latest"],
  ["127.0.0.1:5000/debian", "127.0.0.1:5000", "debian", "latest"],
  ["127.0.0.1:5000/library/debian", "127.0.0.1:5000", "library/debian", "latest"],
  ["192.168.0.1:8/debian", "192.168.0.1:8", "debian", "latest"],
  ["192.168.1.1/repo", "192.168.1.1", "repo", "latest"],
  ["192.168.1.1:5000/repo:5050", "192.168.1.1:5000", "repo", "5050"],
  ["192.168.1.1:750050/repo", "192.168.1.1:750050", "repo", "latest"],
  ["0101.com/a", "0101.com", "a", "latest"],
  ["a.b/c", "a.b", "c", "latest"],
  ["ab.c-om/x", "ab.c-om", "x", "latest"],
  ["sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com", "bar/baz/quux", "latest"],
  ["sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com", "bar/baz/quux", "some-long-tag"],
  ["b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io", "test.example.com/my-app", "test.example.com"],
  ["xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com"],
  ["xn--n3h.com:18080/foo", "xn--n3h.com:18080", "foo", "latest"],
  [`xn--7o8h.com/myimage:t@${SHA512}`, "xn--7o8h.com", "myimage", "t", SHA512],
  ["example.com/xn--7o8h.com/myimage", "example.com", "xn--7o8h.com/myimage", "latest"],
  ["example.com/some_separator__underscore/m", "example.com", "some_separator__underscore/m", "latest"],
  [
    "registry.io/foo/project--id.module--name.ver---sion--name",
    "registry.io",
    "foo/project--id.module--name.ver---sion--name",
    "latest",
  ],
  [`ghcr.io/a/b@${SHA256}`, "ghcr.io", "a/b", undefined, SHA256],
  // Upper case is for hosts only, and for tags
  ["Docker/docker", "Docker", "docker", "latest"],
  ["FOO/bar", "FOO", "bar", "latest"],
  ["Asdf.com/foo/bar", "Asdf.com", "foo/bar", "latest"],
  ["Uppercase/lowercase:tag", "Uppercase", "lowercase", "tag"],
  ["lowercase:Uppercase", "docker.io", "library/lowercase", "Uppercase"],
  // IPv6
  ["[2001:db8::1]/repo", "[2001:db8::1]", "repo", "latest"],
  ["[2001:db8:1:2:3:4:5:6]/repo:tag", "[2001:db8:1:2:3:4:5:6]", "repo", "tag"],
  ["[2001:db8::1]:5000/repo", "[2001:db8::1]:5000", "repo", "latest"],
  [`[2001:db8::1]:5000/repo:tag@${SHA256}`, "[2001:db8::1]:5000", "repo", "tag", SHA256],
  ["[2001:db8::]:5000/repo", "[2001:db8::]:5000", "repo", "latest"],
  ["[::1]:5000/repo", "[::1]:5000", "repo", "latest"],
  ["[fd00123123123]:75050/repo", "[fd00123123123]:75050", "repo", "latest"],
  // Tags
  ["a:_", "docker.io", "library/a", "_"],
  ["a:0.5", "docker.io", "library/a", "0.5"],
  ["a:1.0-rc_2.x", "docker.io", "library/a", "1.0-rc_2.x"],
  [`a:${"t".repeat(128)}`, "docker.io", "library/a", "t".repeat(128)],
];

const INVALID: [string, RegExp][] = [
  ["", /empty/],
  [" ", /not a repository's name/],
  ["alpine ", /not a repository's name/],
  ["alpine\n", /not a repository's name/],
  [":justtag", /not a repository's name/],
  [`@${SHA256}`, /not a repository's name/],
  [HEX, /64 hexadecimal digits/],
  // Digests
  ["repo@sha256:ffffffffffffffffffffffffffffffffff", /not a sha256 or sha512 digest/],
  [`repo@SHA256:${F64}`, /not a sha256 or sha512 digest/],
  [`repo@sha256:${F64.toUpperCase()}`, /not a sha256 or sha512 digest/],
  [`repo@sha256:${F64}0`, /not a sha256 or sha512 digest/],
  [`repo@sha512:${F64}`, /not a sha256 or sha512 digest/],
  [`validname@invaliddigest:${F64}`, /not a sha256 or sha512 digest/],
  ["registry.com:8080/myapp@bad", /not a sha256 or sha512 digest/],
  ["registry.com:8080/myapp@", /not a sha256 or sha512 digest/],
  [`a@${SHA256}@${SHA256}`, /not a sha256 or sha512 digest/],
  [`a@${SHA256}:tag`, /not a sha256 or sha512 digest/],
  ["a@sha256:../../etc/passwd", /not a sha256 or sha512 digest/],
  // Tags
  ["a:", /"" is not a tag/],
  ["a:-foo", /"-foo" is not a tag/],
  ["a:.foo", /is not a tag/],
  ["a:b:c", /not a repository's name/],
  ["registry.com:8080/myapp:invalid~tag", /is not a tag/],
  ["a:snow☃", /is not a tag/],
  [`a:${"t".repeat(129)}`, /is not a tag/],
  // Registries
  ["test.com:http/bar", /not a registry's host name/],
  ["localhost:http/name", /not a registry's host name/],
  ["bad_hostname.com:8080/myapp:tag", /not a registry's host name/],
  ["do__cker:8080/docker", /not a registry's host name/],
  ["-ab.com/x", /not a registry's host name/],
  ["ab-.com/x", /not a registry's host name/],
  ["ab.-com/x", /not a registry's host name/],
  ["ab.com-/x", /not a registry's host name/],
  ["docker./docker", /not a registry's host name/],
  [".docker/docker", /not a registry's host name/],
  ["do..cker/docker", /not a registry's host name/],
  ["-docker.io/docker/docker", /not a registry's host name/],
  ["foo_bar.com:8080/app", /not a registry's host name/],
  ["https://github.com/docker/docker", /not a registry's host name/],
  ["fc00::1:5000/debian", /not a registry's host name/],
  ["[fe80::1%eth0]:5000/debian", /not a registry's host name/],
  ["[fd00:1:2::3]75050/x", /not a registry's host name/],
  ["[fd00:1:2::3]::75050/x", /not a registry's host name/],
  ["[2001:db8:3:4::192.0.2.33]:5000/debian", /not a registry's host name/],
  ["[fc00::1]", /is not a tag/],
  ["[fc00::1]:5000", /not a repository's name/],
  ["[fe80::1%@invalidzone]:5000/repo", /not a sha256 or sha512 digest/],
  // Repositories
  ["Uppercase:tag", /must be lower case/],
  ["docker/Docker", /must be lower case/],
  ["docker.io/docker/Docker", /must be lower case/],
  ["test:5000/Uppercase/lowercase:tag", /must be lower case/],
  ["Foo/FarB", /must be lower case/],
  ["-docker", /not a repository's name/],
  ["-docker/docker", /not a repository's name/],
  ["docker-/docker", /not a repository's name/],
  ["foo/bar-", /not a repository's name/],
  ["foo/-bar", /not a repository's name/],
  ["_foo/bar", /not a repository's name/],
  ["____/____", /not a repository's name/],
  ["docker_/docker_", /not a repository's name/],
  ["dock-_er/docker", /not a repository's name/],
  ["a___b", /not a repository's name/],
  ["docker///docker", /not a repository's name/],
  ["docker.io/docker///docker", /not a repository's name/],
  ["a/a/a/a/", /not a repository's name/],
  ["docker/", /not a repository's name/],
  ["/docker", /not a repository's name/],
  ["foo.com/", /not a repository's name/],
  ["a^a", /not a repository's name/],
  ["aa/asdf$$^/aa", /not a repository's name/],
  ["asdf$$^/aa", /not a repository's name/],
  ["example.com/__underscore/myimage", /not a repository's name/],
  ["example.com/..dots/myimage", /not a repository's name/],
  ["example.com/.dots/myimage", /not a repository's name/],
  ["example.com/nodouble..dots/myimage", /not a repository's name/],
  ["example.com/dot_.dot/myimage", /not a repository's name/],
  ["../../etc/passwd", /not a registry's host name/],
  ["☃/x", /not a repository's name/],
  [`${"a/".repeat(128)}a:tag`, /longer than 255/],
  [`${"x".repeat(256)}/docker`, /longer than 255/],
];

describe("parseReference", () => {
  it.each(VALID)("reads %s", (text, registry, repository, tag, digest) => {
    const expected = { registry, repository, ...(tag && { tag }), ...(digest && { digest }) };
    expect(parseReference(text)).toEqual(expected);
  });

  it.each(VALID)("writes %s in full, so that it reads the same again", (text) => {
    const reference = parseReference(text);
    expect(parseReference(formatReference(reference))).toEqual(reference);
  });

  it.each(INVALID)("refuses %j", (text, reason) => {
    expect(() => parseReference(text)).toThrow(ImageError);
    expect(() => parseReference(text)).toThrow(reason);
  });

  it("answers at once for text made to make patterns backtrack", () => {
    expect(() => parseReference(`${"a-".repeat(50_000)}!`)).toThrow(ImageError);
    expect(() => parseReference(`${"a.a".repeat(50_000)}/!`)).toThrow(ImageError);
  });
});
