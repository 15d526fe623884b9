import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/errors.js";
import { mayBePlain, sitesOf } from "../../../src/oci/registry/hosts.js";

describe("plain HTTP", () => {
  it.each(["localhost", "localhost:5000", "LOCALHOST:5000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:5000"])(
    "may be spoken with %s",
    (host) => expect(mayBePlain(host, {})).toBe(true),
  );

  it.each([
    ...["docker.io", "example.com:80", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]:5000"],
    ...["1270.0.0.1", "127.0.0", "xlocalhost"],
  ])("may not be spoken with %s", (host) => expect(mayBePlain(host, {})).toBe(false));

  it("may be spoken with hosts of SUPERMACHINE_INSECURE_REGISTRIES, with all of their ports or with one", () => {
    const env = { SUPERMACHINE_INSECURE_REGISTRIES: " lab.example ,Other.example:5000,," };
    const allowed = ["lab.example", "lab.example:5000", "other.example:5000", "other.example", "x.lab.example"];
    expect(allowed.map((host) => mayBePlain(host, env))).toEqual([true, true, true, false, false]);
  });
});

describe("where a repository is fetched from", () => {
  const hub = { registry: "docker.io", repository: "library/alpine" };

  it("is Docker Hub's own host for docker.io", () => {
    expect(sitesOf(hub, {})).toEqual([
      {
        registry: "docker.io",
        host: "registry-1.docker.io",
        mayBePlain: false,
        repository: "library/alpine",
        isMirror: false,
      },
    ]);
  });

  it("are its registry's mirrors first, in their order", () => {
    const mirrors = "docker.io=https://a.example,ghcr.io=https://b.example,docker.io=http://localhost:5000/hub/";
    const sites = sitesOf(hub, { SUPERMACHINE_REGISTRY_MIRRORS: mirrors });
    expect(sites.map(({ scheme, host, repository }) => [scheme, host, repository])).toEqual([
      ["https", "a.example", "library/alpine"],
      ["http", "localhost:5000", "hub/library/alpine"],
      [undefined, "registry-1.docker.io", "library/alpine"],
    ]);
  });

  it.each(["docker.io", "docker.io=", "docker.io=a.example", "docker.io=https://u:p@a", "docker.io=https://a/?q=1"])(
    "cannot be %s",
    (SUPERMACHINE_REGISTRY_MIRRORS) => {
      expect(() => sitesOf(hub, { SUPERMACHINE_REGISTRY_MIRRORS })).toThrow(UsageError);
    },
  );
});
