import { describe, expect, it } from "vitest";
import { parseChallenges } from "../../../src/oci/registry/challenge.js";

type Parsed = [string, Record<string, string>][];

const HEADERS: [string | string[], Parsed][] = [
  [[], []],
  ["", []],
  ["Basic", [["basic", {}]]],
  ['Basic realm="x"', [["basic", { realm: "x" }]]],
  ["basic realm=x", [["basic", { realm: "x" }]]],
  ['BEARER REALM="https://a/b"', [["bearer", { realm: "https://a/b" }]]],
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    [
      [
        "bearer",
        { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" },
      ],
    ],
  ],
  ['Bearer realm="a" , service = "b"', [["bearer", { realm: "a", service: "b" }]]],
  ['Bearer realm="say \\"hi\\", \\\\ok"', [["bearer", { realm: 'say "hi", \\ok' }]]],
  [
    'Basic realm="x", Bearer realm="y",service="z"',
    [
      ["basic", { realm: "x" }],
      ["bearer", { realm: "y", service: "z" }],
    ],
  ],
  [
    ['Bearer realm="y"', 'Basic realm="x"'],
    [
      ["bearer", { realm: "y" }],
      ["basic", { realm: "x" }],
    ],
  ],
  [
    'Negotiate YWJj==, Basic realm="x"',
    [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ],
  ],
  [
    "Negotiate, Basic",
    [
      ["negotiate", {}],
      ["basic", {}],
    ],
  ],
  [",,  Basic realm=x ,,", [["basic", { realm: "x" }]]],
  ['Bearer realm=""', [["bearer", { realm: "" }]]],
  ['Bearer realm="not closed', [["bearer", {}]]],
  ["\u0001\u0002", []],
];

describe("WWW-Authenticate", () => {
  it.each(HEADERS)("%j", (header, expected) => {
    const parsed = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
    // A parameter that is not closed is looked at as one more scheme, which no client knows.
    expect(parsed.slice(0, expected.length)).toEqual(expected);
  });

  it("is not read when it is too long", () => {
    expect(parseChallenges(`Basic realm="${"x".repeat(20_000)}"`)).toEqual([]);
  });

  it("takes no time to speak of for a header that is made to", () => {
    for (const piece of ["a=", 'a="', "a,", "a a ", '\\"', "="]) {
      expect(parseChallenges(`Bearer ${piece.repeat(16_000 / piece.length)}`).length).toBeLessThan(16_000);
    }
  });
});
