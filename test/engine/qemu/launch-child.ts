import { launch } from "../../../src/engine/qemu/launch.js";

// Is started as a process: launches a program that never ends by itself, tells its process id, and waits to be killed.
const child = launch(["sleep", "1000"]);
child.once("spawn", () => process.send?.(child.pid));
process.once("message", () => process.exit(0));
