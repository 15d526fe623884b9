import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { imageCommand, parseEnv, parseEnvFile, type RunConfiguration } from "../../src/vm/index.js";

const config = (entrypoint: string[], cmd: string[]): RunConfiguration => ({
  entrypoint,
  cmd,
  env: {},
  workdir: "/",
  user: "",
});

describe("the command of an image", () => {
  test.each([
    ["its arguments alone", config([], ["sh"]), {}, ["sh"]],
    ["its entrypoint alone", config(["app"], []), {}, ["app"]],
    ["its entrypoint with its arguments", config(["app", "-v"], ["serve", "80"]), {}, ["app", "-v", "serve", "80"]],
    ["its entrypoint with other arguments", config(["app"], ["serve"]), { cmd: ["check"] }, ["app", "check"]],
    ["its entrypoint with none", config(["app"], ["serve"]), { cmd: [] }, ["app"]],
    ["another entrypoint without its arguments", config(["app"], ["serve"]), { entrypoint: ["sh"] }, ["sh"]],
    ["both replaced", config(["app"], ["serve"]), { entrypoint: ["sh"], cmd: ["-c", "true"] }, ["sh", "-c", "true"]],
    ["no entrypoint and other arguments", config(["app"], ["serve"]), { entrypoint: [], cmd: ["ls"] }, ["ls"]],
    ["an argument that is empty", config(["app"], [""]), {}, ["app", ""]],
  ])("is, as docker combines it: %s", (_, image, changes, argv) => {
    expect(imageCommand(image, changes)).toEqual(argv);
  });

  test("is an error where there is none", () => {
    expect(() => imageCommand(config([], []))).toThrow(UsageError);
    expect(() => imageCommand(config(["app"], ["serve"]), { entrypoint: [] })).toThrow(/no command of its own/);
  });

  test("is a new list each time", () => {
    const image = config(["app"], ["serve"]);
    imageCommand(image).push("more");
    expect(image).toEqual(config(["app"], ["serve"]));
  });
});

describe("variables", () => {
  test("are split at their first equals sign, and the last one of a name counts", () => {
    expect(parseEnv(["A=1", "B=x=y=", "C=", "A=2", " D = z"])).toEqual({ A: "2", B: "x=y=", C: "", " D ": " z" });
  });

  test("named without a value take the caller's, or are left out", () => {
    expect(parseEnv(["HERE", "MISSING", "EMPTY"], { HERE: "yes", EMPTY: "" })).toEqual({ HERE: "yes", EMPTY: "" });
    expect(parseEnv(["HERE"])).toEqual({});
  });

  test("named like something that every object has are not taken from there", () => {
    expect(parseEnv(["toString", "constructor", "hasOwnProperty"], {})).toEqual({});
    expect(parseEnv(["toString"], process.env)).toEqual({});
    expect(parseEnv(["toString=1", "__proto__=2"])).toEqual(
      Object.fromEntries([
        ["toString", "1"],
        ["__proto__", "2"],
      ]),
    );
    expect(Object.getPrototypeOf(parseEnv(["__proto__=2"]))).toBe(Object.prototype);
  });

  test.each(["", "=", "=value"])("given as %j are refused", (line) => {
    expect(() => parseEnv([line])).toThrow(UsageError);
    expect(() => parseEnv(["A=1", line])).toThrow(`${JSON.stringify(line)} is not of the form NAME=value`);
  });
});

test("a file of variables has docker's rules", () => {
  const text = "\ufeffA=1\n# no\n\n  B=two words # all of it\r\nC='quoted'\nD\nE=\n";
  expect(parseEnvFile(text, "vars")).toEqual(["A=1", "B=two words # all of it", "C='quoted'", "D", "E="]);
  expect(() => parseEnvFile("A=1\nA B=2\n", "vars")).toThrow(/line 2 of vars/);
  expect(() => parseEnvFile("=x", "vars")).toThrow(UsageError);
});
