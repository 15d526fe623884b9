import { describe, expect, test } from "vitest";
import { MountError, mountSource, parseMount } from "../../src/dockerfile/mount.js";

const parse = (text: string) => parseMount(text, (value) => value.replaceAll("$V", "/v"));

describe("mounts", () => {
  test.each<[string, object]>([
    ["target=/a", { type: "bind", source: "/", target: "/a", readOnly: true, from: undefined }],
    ["type=bind,source=src,target=/a", { source: "src", readOnly: true }],
    ["type=bind,src=s,dst=/a,from=base", { source: "s", target: "/a", from: "base" }],
    ["type=bind,destination=/a,rw", { readOnly: false }],
    ["target=/a,readwrite=true", { readOnly: false }],
    ["target=/a,rw=false", { readOnly: true }],
    ["target=/a,ro=false", { readOnly: false }],
    ["TYPE=Cache,Target=/a", { type: "cache", target: "/a" }],
    [
      "type=cache,target=/a",
      { id: "/a", sharing: "shared", readOnly: false, mode: undefined, uid: undefined, gid: undefined },
    ],
    [
      "type=cache,id=x,target=/a,sharing=LOCKED,mode=0700,uid=1,gid=2",
      { id: "x", sharing: "locked", mode: 0o700, uid: 1, gid: 2 },
    ],
    ["type=cache,target=/a,sharing=private,ro", { sharing: "private", readOnly: true }],
    ["type=cache,target=/a,from=base,source=/x", { from: "base", source: "/x" }],
    ["type=tmpfs,target=/a", { type: "tmpfs", target: "/a", size: undefined }],
    ["type=tmpfs,target=/a,size=64m", { size: 64 * 1024 ** 2 }],
    ["type=tmpfs,target=/a,size=1.5g", { size: 1.5 * 1024 ** 3 }],
    ["type=tmpfs,target=/a,size=100", { size: 100 }],
    ["type=tmpfs,target=/a,size=2KiB", { size: 2048 }],
    ["type=secret,id=x", { type: "secret", id: "x", target: "/run/secrets/x", env: undefined, required: false }],
    ["type=secret,id=x,target=/a/b", { id: "x", target: "/a/b" }],
    ["type=secret,target=/a/b", { id: "b", target: "/a/b" }],
    ["type=secret,src=x", { id: "x" }],
    ["type=secret,id=x,env=TOKEN", { env: "TOKEN", target: undefined }],
    ["type=secret,id=x,env=TOKEN,target=/t", { env: "TOKEN", target: "/t" }],
    ["type=secret,id=x,required", { required: true }],
    ["type=secret,id=x,required=false,mode=440,uid=5,gid=6", { required: false, mode: 0o440, uid: 5, gid: 6 }],
    ["required,id=x,type=secret", { required: true }],
    ["type=ssh", { type: "ssh", id: "default", target: undefined, required: false }],
    ["type=ssh,id=k,target=/s,required=1,mode=666", { id: "k", target: "/s", required: true, mode: 0o666 }],
    ['type=tmpfs,"target=/a,b"', { target: "/a,b" }],
    ['"type=tmpfs","target=/a""b"', { target: '/a"b' }],
    ["type=tmpfs,target=$V", { target: "/v" }],
    ["type=tmpfs,target=/a=b", { target: "/a=b" }],
    ["type=tmpfs,target=/a,target=/b", { target: "/b" }],
  ])("%s", (text, expected) => expect(parse(text)).toMatchObject(expected));

  test.each<[string, RegExp]>([
    ["", /"" is no option/],
    ["type=bind", /a bind mount needs a target/],
    ["type=cache", /a cache mount needs a target/],
    ["type=tmpfs,target=", /a tmpfs mount needs a target/],
    ["type=secret", /a secret mount needs an id/],
    ["type=secret,id=a,src=b", /an id or a source/],
    ["type=what,target=/a", /"what" is no type of a mount/],
    ["type=cahce,target=/a", /"cahce" is no type/],
    ["type=cache,target=/a,sharing=some", /"some" is no sharing/],
    ["target=/a,typo=x", /"typo=x" is no option of a mount/],
    ["target", /"target" is not of the form KEY=VALUE/],
    ["target=/a,mode=755", /a bind mount has no option mode/],
    ["target=/a,required", /a bind mount has no option required/],
    ["target=/a,size=1", /a bind mount has no option size/],
    ["target=/a,sharing=locked", /a bind mount has no option sharing/],
    ["type=tmpfs,target=/a,uid=1", /a tmpfs mount has no option uid/],
    ["type=secret,id=a,from=b", /a secret mount has no option from/],
    ["type=cache,target=/a,mode=9", /"9" is no mode/],
    ["type=cache,target=/a,uid=-1", /"-1" is no uid/],
    ["type=cache,target=/a,gid=4294967296", /is no gid/],
    ["type=tmpfs,target=/a,size=big", /"big" is no size/],
    ["target=/a,ro=maybe", /readonly is true or false/],
    ['target="/a"', /a quote in the middle/],
  ])("%j is wrong", (text, message) => {
    expect(() => parse(text)).toThrow(MountError);
    expect(() => parse(text)).toThrow(message);
  });

  test("a misspelt word suggests the one that was meant", () => {
    const hint = (text: string) => {
      try {
        parse(text);
        return undefined;
      } catch (error) {
        return (error as MountError).hint;
      }
    };
    expect(hint("type=cahce,target=/a")).toBe("Did you mean cache?");
    expect(hint("type=cache,taget=/a")).toBe("Did you mean target?");
  });

  test.each([
    ["target=/a", undefined],
    ["from=x,target=/a", "x"],
    ["FROM=x,target=/a", "x"],
    ["from=,target=/a", undefined],
    ['"from=x",target=/a', "x"],
  ])("%s takes files from %s", (text, expected) => expect(mountSource(text)).toBe(expected));

  test("variables are not expanded in from", () => {
    expect(() => mountSource("from=$x,target=/a")).toThrow(/not expanded in from=/);
  });
});
