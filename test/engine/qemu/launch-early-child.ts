import type { ChildProcess } from "node:child_process";
import { launchEarly } from "../../../src/engine/qemu/launch.js";

// Is started as a process: launches a program that never ends by itself ahead of time, tells its process id, and has nothing more to do.
launchEarly(["sleep", "1000"]);
const { child } = Reflect.get(globalThis, Symbol.for("supermachine.early-worker")) as { child: ChildProcess };
process.send?.(child.pid, () => process.disconnect());
