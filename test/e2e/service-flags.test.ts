import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { cli, inspect, removeAll } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";

const SLOW = "printf '#!/bin/sh\\nsleep 30' > /srv/cgi-bin/slow; chmod +x /srv/cgi-bin/slow";
const SERVER = `mkdir -p /srv/cgi-bin; echo "$WORD" > /srv/page; ${SLOW}; exec httpd -f -p 8080 -h /srv`;

let folder: string;
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-flags-"));
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:flags.localhost"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await execa("openssl", ["req", "-x509", ...key, "-keyout", file("key.pem"), "-out", file("cert.pem"), ...names]);
});
afterEach(removeAll);
afterAll(() => rmSync(folder, { recursive: true }));

test("a service speaks TLS with a certificate of the user's, has its environment from a file, and may not take all day", async () => {
  const busybox = `oci-archive:${(await busyboxImage()).archive}`;
  writeFileSync(file("env"), "# of this test\nWORD=from the file\n");
  const tls = ["--inbound-tls-cert", file("cert.pem"), "--inbound-tls-key", file("key.pem")];
  const server = ["--http-port", "0", "-p", "8080", "--server-ready", "before-workload", "--answer-timeout", "1s"];
  const more = ["--env-file", file("env"), "--no-healthcheck"];
  const command = [busybox, "--", "sh", "-c", SERVER];
  const started = await cli("run", "-q", "-d", "--name", "flags", ...tls, ...server, ...more, ...command);
  const [url = started.stderr] = /https:\/\/flags\.localhost:\d+/.exec(started.stderr) ?? [];
  const curl = (path: string) => execa("curl", ["-sS", "--cacert", file("cert.pem"), `${url}${path}`]);
  expect((await curl("/page")).stdout).toBe("from the file");
  expect((await curl("/cgi-bin/slow")).stdout).toMatch(/^504 Gateway Timeout: .*did not begin to answer in time/);
  expect((await inspect("flags")).health).toBeUndefined();
});

test("a UDP port is published", async () => {
  const busybox = `oci-archive:${(await busyboxImage()).archive}`;
  const { stderr } = await cli("run", "-q", "-d", "--name", "udp", "-p", "9/udp", busybox, "--", "sleep", "1000");
  expect(stderr).toMatch(/127\.0\.0\.1:\d+ is udp port 9 /);
  expect((await cli("port", "udp")).stdout).toMatch(/^9\/udp -> 127\.0\.0\.1:\d+$/);
});
