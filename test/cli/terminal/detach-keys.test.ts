import { expect, test } from "vitest";
import { DetachKeys, parseDetachKeys } from "../../../src/cli/terminal/detach-keys.js";

/** What passes of the pieces that are typed, and after how many of them the keys had come. */
function type(keys: string, pieces: string[]): { passed: string; detachedAfter: number | undefined } {
  let passed = "";
  let current = 0;
  let detachedAfter: number | undefined;
  const filter = new DetachKeys(parseDetachKeys(keys), () => {
    detachedAfter = current;
  });
  filter.on("data", (chunk: Buffer) => {
    passed += chunk.toString("latin1");
  });
  for (const piece of pieces) {
    current++;
    filter.write(Buffer.from(piece, "latin1"));
  }
  filter.end();
  filter.read();
  return { passed, detachedAfter };
}

test.each([
  ["ctrl-p,ctrl-q", [16, 17]],
  ["ctrl-@,ctrl-A,ctrl-z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", [0, 1, 26, 27, 28, 29, 30, 31]],
  ["~,.", [126, 46]],
  ["DEL", [127]],
  ["ü", [0xc3, 0xbc]],
  ["", []],
])("%j are the bytes %j", (text, bytes) => {
  expect([...parseDetachKeys(text)]).toEqual(bytes);
});

test.each(["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-p ctrl-q"])("%j are no keys", (text) => {
  expect(() => parseDetachKeys(text)).toThrow(/no key/);
});

test.each([
  ["all at once", ["ab\x10\x11cd"], { passed: "ab", detachedAfter: 1 }],
  ["key by key", ["a", "\x10", "\x11", "c"], { passed: "a", detachedAfter: 3 }],
  ["a beginning only", ["a\x10", "b"], { passed: "a\x10b", detachedAfter: undefined }],
  ["a beginning at the end", ["a\x10"], { passed: "a\x10", detachedAfter: undefined }],
  ["the first key twice", ["\x10\x10\x11"], { passed: "\x10", detachedAfter: 1 }],
])("%s", async (_name, pieces, expected) => {
  expect(type("ctrl-p,ctrl-q", pieces)).toEqual(expected);
});

test("a match that begins within a failed one is found", () => {
  expect(type("p,p,q", ["pppq"])).toEqual({ passed: "p", detachedAfter: 1 });
});

test("without keys everything passes", () => {
  expect(type("", ["\x10\x11"])).toEqual({ passed: "\x10\x11", detachedAfter: undefined });
});
