import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Qmp } from "../../../src/engine/qemu/qmp.js";
import { VmError } from "../../../src/errors.js";

const GREETING = '{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n';

let peer: Duplex;
let qmp: Qmp;
let arrived: string;

/** A client and the other end of its connection, which takes the client's end with it when it goes. */
function connect(): [Qmp, Duplex, Duplex] {
  const [ours, theirs] = duplexPair();
  theirs.on("close", () => ours.destroy());
  return [new Qmp(ours), theirs, ours];
}

beforeEach(() => {
  [qmp, peer] = connect();
  arrived = "";
  peer.setEncoding("utf8").on("data", (text: string) => {
    arrived += text;
  });
  peer.write(GREETING);
});
afterEach(() => {
  peer.destroy();
});

/** The first commands that arrive, once there are `count`. */
async function received(count: number): Promise<unknown[]> {
  while (arrived.split("\n").length <= count) await once(peer, "data");
  const lines = arrived.split("\n").slice(0, count);
  return lines.map((line) => JSON.parse(line));
}
const say = (...lines: string[]) => peer.write(lines.map((line) => `${line}\r\n`).join(""));

describe("commands", () => {
  test("are sent as lines of JSON, with their arguments where they have some", async () => {
    const answers = Promise.all([qmp.execute("stop"), qmp.execute("device_add", { id: "disk\n1" })]);
    expect(await received(2)).toEqual([{ execute: "stop" }, { execute: "device_add", arguments: { id: "disk\n1" } }]);
    say('{"return": {}}', '{"return": {}}');
    await answers;
  });

  test("are answered in the order in which they were sent", async () => {
    const answers = Promise.all(["a", "b", "c"].map((name) => qmp.execute(name)));
    await received(3);
    say('{"return": 1}', '{"return": {"two": 2}}', '{"return": [3]}');
    expect(await answers).toEqual([1, { two: 2 }, [3]]);
  });

  test("that are refused say why, and do not disturb the others", async () => {
    const refused = qmp.execute("bad");
    const good = qmp.execute("good");
    say('{"error": {"class": "GenericError", "desc": "Device is in use"}}', '{"return": "fine"}');
    await expect(refused).rejects.toThrow(VmError);
    await expect(refused).rejects.toThrow("QEMU refused bad: Device is in use");
    expect(await good).toBe("fine");
  });

  test.each(['{"error": {}}', '{"error": {"desc": {"toString": 1}}}'])(
    "that are refused by %s are refused",
    async (line) => {
      const refused = qmp.execute("bad");
      say(line);
      await expect(refused).rejects.toThrow("no reason given");
    },
  );

  test("are answered whatever pieces the answer comes in", async () => {
    const answer = qmp.execute("query");
    const text = '{"return": "grün €"}\n{"event": "STOP"}\n';
    for (const byte of Buffer.from(text)) peer.write(Buffer.from([byte]));
    expect(await answer).toBe("grün €");
  });

  test("that are not answered in time end the connection, since answers could not be told apart any more", async () => {
    const other = qmp.execute("other");
    await expect(qmp.execute("slow", {}, 20)).rejects.toThrow("QEMU did not answer slow within 20 ms");
    await expect(other).rejects.toThrow(/did not answer slow/);
    await expect(qmp.execute("next")).rejects.toThrow(/did not answer slow/);
  });
});

describe("events", () => {
  test("are waited for, past others and answers", async () => {
    const resumed = qmp.event("RESUME", 5_000);
    const answer = qmp.execute("cont");
    say('{"event": "STOP", "timestamp": {}}', '{"return": {}}', '{"event": "RESUME", "timestamp": {}}');
    await resumed;
    expect(await answer).toEqual({});
  });

  test("that do not come are an error, and nothing else suffers", async () => {
    await expect(qmp.event("RESUME", 20)).rejects.toThrow("QEMU did not report RESUME within 20 ms");
    const answer = qmp.execute("query");
    say('{"return": 1}');
    expect(await answer).toBe(1);
    expect(qmp.listenerCount("RESUME")).toBe(0);
  });

  test("cannot come any more once the connection has ended", async () => {
    const waiting = qmp.event("RESUME", 60_000);
    peer.destroy();
    await expect(waiting).rejects.toThrow("QEMU closed its control connection");
    await expect(qmp.event("RESUME", 60_000)).rejects.toThrow("QEMU closed its control connection");
  });

  test("named as Node's own error event disturb nothing", async () => {
    const answer = qmp.execute("query");
    say('{"event": "error"}', '{"event": "newListener"}', '{"return": 1}');
    expect(await answer).toBe(1);
  });
});

describe("a peer that breaks the rules", () => {
  test.each([
    ["no JSON", "hello"],
    ["half an object", '{"return": {}'],
    ["null", "null"],
    ["a number", "42"],
    ["a list", "[]"],
    ["a text", '"return"'],
    ["an object that is no message", "{}"],
    ["an event whose name is no text", '{"event": {"toString": 1}}'],
    ["an error that is none", '{"error": null}'],
  ])("with %s ends the connection with an error", async (_, line) => {
    const answer = qmp.execute("query");
    say(line);
    await expect(answer).rejects.toThrow(/control message/);
    await expect(answer).rejects.toThrow(VmError);
    await expect(qmp.execute("next")).rejects.toThrow(VmError);
  });

  test("with a line that never ends is not listened to any more", async () => {
    const [client, theirs, ours] = connect();
    const answer = client.execute("query");
    const flood = "x".repeat(64 * 1024);
    for (let i = 0; i < 20; i++) theirs.write(flood);
    await expect(answer).rejects.toThrow(/without end/);
    expect(ours.destroyed).toBe(true);
  });

  test("with an answer that nobody asked for is ignored", async () => {
    say('{"return": "unasked"}', "", "   ");
    await new Promise((resolve) => setImmediate(resolve));
    const answer = qmp.execute("query");
    say('{"return": "asked"}');
    expect(await answer).toBe("asked");
  });
});

describe("a connection that ends", () => {
  test("fails what is waiting and what comes later", async () => {
    const waiting = [qmp.execute("one"), qmp.execute("two")];
    peer.destroy();
    for (const each of waiting) await expect(each).rejects.toThrow("QEMU closed its control connection");
    await expect(qmp.execute("three")).rejects.toThrow("QEMU closed its control connection");
  });

  test("with an error tells it", async () => {
    const broken = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    const client = new Qmp(broken);
    const error = await client.execute("one").catch((each: unknown) => each);
    expect(error).toMatchObject({ message: "the connection to QEMU broke", cause: { message: "EPIPE" } });
  });
});
