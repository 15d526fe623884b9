#!/usr/bin/env node
// A program that speaks QEMU's machine protocol on descriptor 3, for tests of what starts and drives QEMU.
// FAKE_QEMU says how it behaves: well, unless it is "fails", "silent" (never answers) or "dies" (when a state comes).
import { writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";

const behaviour = process.env.FAKE_QEMU;
if (behaviour === "fails") {
  console.error("qemu: -accel kvm: failed to initialize kvm: Permission denied");
  process.exit(1);
}
const qmp = new Socket({ fd: 3 });
const say = (message) => qmp.write(`${JSON.stringify(message)}\r\n`);
say({ QMP: { version: {}, capabilities: [] } });
console.log("console: hello");
console.error("qemu: warning: fake");

const state = [];
new Socket({ fd: 6, readable: true })
  .on("data", (chunk) => state.push(chunk))
  .on("end", () => {
    if (behaviour === "dies") process.kill(process.pid, "SIGKILL");
    console.log(`state: ${Buffer.concat(state).toString("latin1")}`);
    say({ event: "RESUME" });
  });

createInterface({ input: qmp }).on("line", (line) => {
  if (behaviour === "silent") return;
  const { execute, arguments: given } = JSON.parse(line);
  console.log(`command: ${execute} ${given ? JSON.stringify(given) : ""}`);
  if (execute === "xen-save-devices-state") writeFileSync(given.filename, "state");
  if (given?.lun === 13) say({ error: { desc: "no such bus" } });
  else say({ return: {} });
});
