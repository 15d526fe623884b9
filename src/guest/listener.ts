import { FieldWriter } from "./fields.js";

const KIND_AWAIT_LISTENER = 40;

export function encodeAwaitListener(port: number, timeoutMs: number): Buffer {
  return new FieldWriter().kind(KIND_AWAIT_LISTENER).u16(1, port).u32(2, timeoutMs).toBuffer();
}
