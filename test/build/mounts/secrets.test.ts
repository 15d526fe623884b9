import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseSecret, readSecret } from "../../../src/build/mounts/secrets.js";
import { folderOfFile } from "../../support/folder-of-file.js";

test.each([
  ["id=a,src=f", { id: "a", source: { file: "f" } }],
  ["id=a,source=f=g", { id: "a", source: { file: "f=g" } }],
  ["type=file,id=a,src=f", { id: "a", source: { file: "f" } }],
  ["id=a,env=V", { id: "a", source: { env: "V" } }],
  ["type=env,id=a,src=V", { id: "a", source: { env: "V" } }],
  ["type=env,id=a", { id: "a", source: { env: "a" } }],
  ["id=SET", { id: "SET", source: { env: "SET" } }],
  ["id=unset", { id: "unset", source: { file: "unset" } }],
])("%s", (text, parsed) => {
  expect(parseSecret(text, { SET: "1" })).toEqual(parsed);
});

test.each(["", "a", "src=f", "id=", "id=a,what=f", "id=a,src=f,env=V", "type=x,id=a"])("%j is refused", (text) => {
  expect(() => parseSecret(text, {})).toThrow("is not of the form");
});

test("a value has a bound, and one that is not there is named", async () => {
  const file = join(folderOfFile(), "f");
  writeFileSync(file, Buffer.alloc(500 * 1024, 1));
  expect(await readSecret("a", { file })).toHaveLength(500 * 1024);
  writeFileSync(file, Buffer.alloc(500 * 1024 + 1, 1));
  await expect(readSecret("a", { file })).rejects.toThrow("larger than 500 KiB");
  await expect(readSecret("a", { value: new Uint8Array(600 * 1024) })).rejects.toThrow("larger than 500 KiB");
  await expect(readSecret("a", { file: `${file}-not` })).rejects.toThrow("ENOENT");
  await expect(readSecret("a", { env: "NOT_SET_AT_ALL" })).rejects.toThrow("there is no variable NOT_SET_AT_ALL");
  expect((await readSecret("a", { value: "v" })).toString()).toBe("v");
});
