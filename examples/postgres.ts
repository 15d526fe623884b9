// PostgreSQL with its files on a volume: the next microVM finds them as this one has left them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image } from "supermachine";

const SERVER = `
  export PATH=$(echo /usr/lib/postgresql/*/bin):$PATH PGDATA=/var/lib/postgresql/data
  test -e $PGDATA/PG_VERSION || initdb --auth=trust
  exec postgres -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp`;

const image = await Image.fromOci(process.argv[2] ?? "postgres:17", { user: "postgres", memoryMiB: 512 });
const folder = await mkdtemp(join(tmpdir(), "postgres-"));
// A volume by a name (`name: "database"`) would be kept with the images, for all programs.
const volume = { file: join(folder, "database.img"), guest: "/var/lib/postgresql", sizeMiB: 256 };

for (const guest of ["Ada", "Grace"]) {
  await using vm = await image.start({ volumes: [volume], egress: "none" });
  await vm.startWorkload({ entrypoint: ["sh", "-c", SERVER] });
  await vm.waitForPort(5432, { timeoutMs: 120_000 });
  const sql = `create table if not exists guests (name text); insert into guests values ('${guest}'); select * from guests`;
  const { stdout } = await vm.run(["psql", "-h", "127.0.0.1", "-AtqX", "-c", sql], { cwd: "/" });
  console.log(stdout.trim().split("\n").join(", "));
  // In order: PostgreSQL gets SIGTERM and writes what it has, then the volume is unmounted.
  await vm.stop();
}
await rm(folder, { recursive: true });
