import { expect, test } from "vitest";
import { listeningPorts, parseTable, watchListeningPorts } from "../../src/network/listening-ports.js";

const HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, remote: string, state: string) =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n`;
const ANYONE = "00000000:0000";

test("a kernel's table gives what is listened on", () => {
  const table = `${HEADER}${line("0100007F:1F90", ANYONE, "0A")}${line("00000000:0050", ANYONE, "0A")}${line("0100007F:1F90", "0100007F:C001", "01")}`;
  expect(parseTable(table, "tcp")).toEqual([
    { protocol: "tcp", address: "127.0.0.1", port: 8080 },
    { protocol: "tcp", address: "0.0.0.0", port: 80 },
  ]);
  const six = "00000000000000000000000000000000:0000";
  expect(parseTable(line(`00000000000000000000000001000000:0016`, six, "0A"), "tcp")).toEqual([
    { protocol: "tcp", address: "::1", port: 22 },
  ]);
  expect(parseTable(line("00000000:0035", ANYONE, "07") + line("0F02000A:9C40", "01010101:0035", "01"), "udp")).toEqual(
    [{ protocol: "udp", address: "0.0.0.0", port: 53 }],
  );
});

test("whatever else is in a table is left out", () => {
  for (const odd of [
    "",
    "x\n".repeat(1000),
    line("0100007F:1F9", ANYONE, "0A"),
    line("01:1F90", ANYONE, "0A"),
    "\0\xff 0: ",
  ])
    expect(parseTable(odd, "tcp")).toEqual([]);
});

test("a watch tells of changes only, and ends with its signal", async () => {
  let table = line("00000000:0050", ANYONE, "0A");
  const read = async (path: string) => Buffer.from(path.endsWith("/tcp") ? table : "");
  expect(await listeningPorts(read)).toHaveLength(1);
  const end = new AbortController();
  const seen: number[][] = [];
  const watch = async () => {
    for await (const ports of watchListeningPorts(read, 1, end.signal)) {
      seen.push(ports.map(({ port }) => port));
      if (seen.length === 1) setTimeout(() => (table += line("00000000:0051", ANYONE, "0A")), 40);
      else end.abort(new Error("enough"));
    }
  };
  await expect(watch()).rejects.toThrow();
  expect(seen).toEqual([[80], [80, 81]]);
});
