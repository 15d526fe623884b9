import { once } from "node:events";
import type { Duplex, Readable } from "node:stream";
import * as v from "valibot";
import { SupermachineError } from "../errors.js";
import { ExecFailure } from "../guest/index.js";
import type { ExecOptions, Vm, VmProcess } from "../vm/index.js";
import { ExecControl, type ExecEvent, ExecRequest } from "./exec-request.js";
import { type Frame, FrameType, type FrameTypeValue, readFrames, writeFrame } from "./frames.js";

/** Runs the command that a client asks for on its connection; a client that goes away takes its command along. */
export async function serveExec(socket: Duplex, vm: () => Promise<Vm>): Promise<void> {
  const gone = new AbortController();
  socket.once("close", () => gone.abort(new Error("the client went away")));
  const say = (event: ExecEvent) => writeFrame(socket, FrameType.control, Buffer.from(JSON.stringify(event)));
  try {
    const frames = readFrames(socket);
    const { value: first } = await frames.next();
    if (first?.type !== FrameType.control) return;
    const { argv, ...options } = v.parse(ExecRequest, JSON.parse(first.payload.toString()));
    const process = await (await vm()).exec(argv, { ...(options as ExecOptions), signal: gone.signal });
    say({ event: "started", pid: process.pid });
    void follow(frames, process).catch(() => process.kill("SIGKILL"));
    const [status] = await Promise.all([
      process.wait(),
      forward(process.stdout, socket, FrameType.stdout),
      forward(process.stderr, socket, FrameType.stderr),
    ]);
    say({ event: "exited", ...status });
  } catch (error) {
    if (!socket.writable) return;
    say({ event: "failed", failure: describe(error) });
  } finally {
    socket.end();
  }
}

async function follow(frames: AsyncIterable<Frame>, process: VmProcess) {
  for await (const { type, payload } of frames) {
    if (type === FrameType.stdin) {
      if (!process.stdin.write(payload)) await once(process.stdin, "drain");
      continue;
    }
    const control = v.parse(ExecControl, JSON.parse(payload.toString()));
    if (control.do === "endInput") process.stdin.end();
    else if (control.do === "kill") process.kill(control.signal as NodeJS.Signals | number);
    else process.resize({ rows: control.rows, cols: control.cols });
  }
}

async function forward(output: Readable, socket: Duplex, type: FrameTypeValue): Promise<void> {
  for await (const chunk of output as AsyncIterable<Buffer>) {
    if (!writeFrame(socket, type, chunk) && !socket.destroyed)
      await Promise.race([once(socket, "drain"), once(socket, "close")]);
  }
}

function describe(error: unknown): { message: string; code: string; exitCode?: number } {
  if (!SupermachineError.is(error)) return { message: String(error), code: "ERR_SUPERMACHINE_VM" };
  const { message, code } = error;
  return error instanceof ExecFailure ? { message, code, exitCode: error.exitCode } : { message, code };
}
