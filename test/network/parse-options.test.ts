import { expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { parseEgressPolicy, parsePublish } from "../../src/network/index.js";

test("policies are read as the command line has them", () => {
  expect(parseEgressPolicy("deny_private")).toBe("public");
  expect(parseEgressPolicy("allowlist:pypi.org, *.a.org:443,10.0.0.0/8")).toEqual({
    allow: ["pypi.org", "*.a.org:443", "10.0.0.0/8"],
  });
  expect(parseEgressPolicy("denylist:1.1.1.1")).toEqual({ deny: ["1.1.1.1"] });
  for (const wrong of ["", "none", "allowlist:", "allowlist:1.2.3", "denylist:a,,b", "deny_private:x"])
    expect(() => parseEgressPolicy(wrong), wrong).toThrow(UsageError);
});

test.each([
  ["80", { guestPort: 80, hostPort: 0, protocol: "tcp" }],
  ["8080:80", { guestPort: 80, hostPort: 8080, protocol: "tcp" }],
  ["0:53/udp", { guestPort: 53, hostPort: 0, protocol: "udp" }],
  ["0.0.0.0:8080:80/tcp", { guestPort: 80, hostPort: 8080, protocol: "tcp", host: "0.0.0.0" }],
  ["[::1]:8080:80", { guestPort: 80, hostPort: 8080, protocol: "tcp", host: "::1" }],
])("a port is published as %s", (text, expected) => {
  expect(parsePublish(text)).toEqual(expected);
});

test.each([
  "",
  "x",
  "80:",
  ":80",
  "1:2:3:4",
  "::1:80:80",
  "localhost:80:80",
  "8080:0",
  "70000",
  "80:70000",
  "80/sctp",
  "1.2.3:80:80",
])("%j is no port to publish", (text) => {
  expect(() => parsePublish(text)).toThrow(UsageError);
});
