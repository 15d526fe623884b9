import { expect, test } from "vitest";
import { applyChanges } from "../../src/dockerfile/index.js";
import { parseImageConfig } from "../../src/oci/index.js";

const base = parseImageConfig(
  Buffer.from(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers" },
      config: { Env: ["A=1", "PATH=/bin"], Cmd: ["old"], WorkingDir: "/srv", User: "app" },
    }),
  ),
  "the image",
);

test("instructions change the configuration, and leave what they do not name", () => {
  const config = applyChanges(base, [
    'CMD ["new", "--flag"]',
    "ENV B=$A-2 A=3",
    "EXPOSE 80 53/udp",
    "LABEL k=v",
    "WORKDIR app",
    "VOLUME /data",
    "STOPSIGNAL INT",
    "HEALTHCHECK --interval=5s CMD true",
  ]);
  expect(config).toMatchObject({
    Cmd: ["new", "--flag"],
    Env: ["A=3", "PATH=/bin", "B=1-2"],
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Labels: { k: "v" },
    WorkingDir: "/srv/app",
    User: "app",
    Volumes: { "/data": {} },
  });
  expect(applyChanges(base, [])).toEqual(base.config);
});

test.each([
  ["RUN true", "RUN cannot be a change"],
  ["COPY a /b", "COPY cannot be a change"],
  ["FROM busybox", "FROM cannot be a change"],
  ["CMD a\nRUN b", "a change is one line"],
  ["CMMD x", "CMMD"],
])("%j is refused", (change, words) => {
  expect(() => applyChanges(base, [change])).toThrow(words);
});
