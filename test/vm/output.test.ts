import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { Output } from "../../src/vm/output.js";

async function collect(limit: number, ...chunks: (string | Buffer)[]): Promise<Output> {
  const stream = new PassThrough();
  const output = new Output(stream, limit);
  for (const chunk of chunks) stream.write(chunk);
  await new Promise((resolve) => stream.on("end", resolve).end());
  return output;
}

test.each([
  ["less than the limit", ["ab", "cd"], "abcd", false],
  ["just the limit", ["abc", "de"], "abcde", false],
  ["one byte more in one piece", ["abcdef"], "abcde", true],
  ["one byte more in a piece of its own", ["abcde", "f"], "abcde", true],
  ["a piece over the limit and more after it", ["abc", "defg", "h", "ij"], "abcde", true],
  ["nothing", [], "", false],
])("of %s it keeps what fits", async (_, chunks, text, truncated) => {
  expect(await collect(5, ...chunks)).toMatchObject({ text, truncated });
});

test("a limit of nothing keeps nothing", async () => {
  expect(await collect(0, "a")).toMatchObject({ text: "", truncated: true });
  expect(await collect(0)).toMatchObject({ text: "", truncated: false });
});

test("what is over the limit is read all the same, so that the writer never stalls", async () => {
  const output = await collect(1000, ...Array.from({ length: 100 }, () => Buffer.alloc(65_536)));
  expect(output.bytes.length).toBe(1000);
});

test("a letter that comes in two pieces is whole", async () => {
  const [a, b] = [Buffer.from("€").subarray(0, 1), Buffer.from("€").subarray(1)];
  expect((await collect(10, a, b)).text).toBe("€");
});

test("a stream that breaks is no unhandled error, and what came before it is kept", async () => {
  const stream = new PassThrough();
  const output = new Output(stream, 10);
  stream.write("before");
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => stream.on("close", resolve).destroy(new Error("broken")));
  expect(output.text).toBe("before");
});
