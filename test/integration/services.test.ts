import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Image, type Vm } from "../../src/index.js";
import { servicesImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

let vm: Vm;
const ports = { nginx: 0, redis: 0, postgres: 0 };
const POSTGRES = `exec /usr/lib/postgresql/*/bin/postgres -D /var/lib/postgresql/*/main \\
  -c config_file=$(echo /etc/postgresql/*/main/postgresql.conf) -c unix_socket_directories=/tmp`;

/** Runs a client on the host to its end. */
async function client(program: string, argv: string[], input = "", env: Record<string, string> = {}): Promise<string> {
  const running = promisify(execFile)(program, argv, {
    env: { ...process.env, ...env },
    maxBuffer: 64 << 20,
    timeout: 120_000,
  });
  running.child.stdin?.end(input);
  return (await running).stdout;
}
const sha256 = (content: string | Buffer) => createHash("sha256").update(content).digest("hex");

beforeAll(async () => {
  const image = await Image.fromOci(`oci-archive:${(await servicesImage()).archive}`, { memoryMiB: 512 });
  vm = await image.start({ egress: "none" });
  const servers = [
    vm.exec(["sh", "-c", "mkdir -p /var/log/nginx; exec nginx -g 'daemon off;'"]),
    vm.exec(["redis-server", "--save", ""], { user: "redis" }),
    vm.exec(["sh", "-c", POSTGRES], { user: "postgres" }),
  ];
  for (const server of await Promise.all(servers)) {
    server.stdout.resume();
    server.stderr.resume();
  }
  for (const [name, guestPort] of [
    ["nginx", 80],
    ["redis", 6379],
    ["postgres", 5432],
  ] as const) {
    await vm.waitForPort(guestPort, { timeoutMs: 120_000 });
    ports[name] = (await vm.exposeTcp({ guestPort })).hostPort;
  }
});
afterAll(async () => {
  await vm?.stop();
  expect(await remainingWorkers()).toEqual([]);
});

describe("nginx in a guest", () => {
  test("serves large files, ranges and many requests of one connection to curl on the host", async () => {
    const content = randomBytes(3_000_000);
    await vm.writeFile("/var/www/html/large", content);
    const url = `http://127.0.0.1:${ports.nginx}/large`;
    const curl = (...argv: string[]) =>
      promisify(execFile)("curl", ["-sS", ...argv], { encoding: "buffer", maxBuffer: 64 << 20 });
    expect(sha256((await curl(url)).stdout)).toBe(sha256(content));
    expect((await curl("-r", "1000000-1000999", url)).stdout).toEqual(content.subarray(1_000_000, 1_001_000));
    const many = await client("curl", [
      ...["-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", "-r", "0-99"],
      `${url}?[1-100]`,
    ]);
    const lines = many.trim().split("\n");
    expect(lines[0]).toBe("206 1");
    expect(new Set(lines.slice(1))).toEqual(new Set(["206 0"]));
    expect(lines).toHaveLength(100);
  });

  test("serves a crowd at a time", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, async () => (await fetch(`http://127.0.0.1:${ports.nginx}/`)).text()),
    );
    for (const answer of answers) expect(answer).toContain("Welcome to nginx");
  });
});

describe("Redis in a guest", () => {
  const redis = (argv: string[], input?: string) => client("redis-cli", ["-p", String(ports.redis), ...argv], input);

  test("takes what redis-cli on the host pipes into it, and gives it back", async () => {
    await redis(["flushall"]);
    expect(await redis(["set", "greeting", "hello"])).toBe("OK\n");
    expect(await redis(["get", "greeting"])).toBe("hello\n");
    const commands = Array.from({ length: 5_000 }, (_, n) => `SET key:${n} ${"x".repeat(1 + (n % 200))}\r\n`).join("");
    expect(await redis(["--pipe"], commands)).toContain("errors: 0, replies: 5000");
    expect(await redis(["dbsize"])).toBe("5001\n");
    const large = "large ".repeat(500_000);
    expect(await redis(["-x", "set", "large"], large)).toBe("OK\n");
    expect(sha256(await redis(["--raw", "get", "large"]))).toBe(sha256(`${large}\n`));
  });

  test("tells subscribers on the host", async () => {
    const subscriber = spawn("redis-cli", ["-p", String(ports.redis), "subscribe", "news"]);
    let heard = "";
    subscriber.stdout.on("data", (chunk) => {
      heard += chunk;
    });
    await expect.poll(() => redis(["publish", "news", "told"])).toBe("1\n");
    await expect.poll(() => heard).toBe("subscribe\nnews\n1\nmessage\nnews\ntold\n");
    subscriber.kill();
  });
});

describe("PostgreSQL in a guest", () => {
  const psql = (sql: string, input?: string, sslmode = "require") =>
    client("psql", ["-h", "127.0.0.1", "-p", String(ports.postgres), "-U", "postgres", "-AtqX", "-c", sql], input, {
      PGPASSWORD: "secret",
      PGSSLMODE: sslmode,
    });

  test("serves psql on the host, over TLS, with a password, and large copies both ways", async () => {
    const setPassword = ["psql", "-h", "/tmp", "-qXc", "alter user postgres password 'secret'"];
    expect(await vm.run(setPassword, { user: "postgres", cwd: "/", timeoutMs: 60_000 })).toMatchObject({ exitCode: 0 });
    expect(await psql("select version() ~ 'PostgreSQL', ssl from pg_stat_ssl where pid = pg_backend_pid()")).toBe(
      "t|t\n",
    );
    await psql("drop table if exists items");
    await psql("create table items (n integer primary key, body text)");
    const rows = Array.from({ length: 10_000 }, (_, n) => `${n}\tbody ${n} ${"é".repeat(n % 40)}\n`).join("");
    await psql("copy items from stdin", rows);
    expect(await psql("select count(*), sum(n) from items")).toBe("10000|49995000\n");
    expect(sha256(await psql("copy (select * from items order by n) to stdout"))).toBe(sha256(rows));
    await expect(psql("select n from missing")).rejects.toThrow(/relation "missing" does not exist/);
  });

  test("tells clients apart: a transaction of one is not seen by others until it is over", async () => {
    await psql("drop table if exists ledger, finish; create table ledger (n integer); create table finish ()");
    const wait = "do $$ begin while not exists (select from finish) loop perform pg_sleep(0.1); end loop; end $$";
    const slow = psql(`begin; insert into ledger values (1); ${wait}; commit`);
    await expect.poll(() => psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'")).toBe("1\n");
    expect(await psql("select count(*) from ledger")).toBe("0\n");
    await psql("insert into finish default values");
    await slow;
    expect(await psql("select count(*) from ledger")).toBe("1\n");
  });
});
