import { UsageError, VmError } from "../errors.js";
import { decodeFailure, ResultKind } from "./failure.js";
import { Fields, FieldWriter } from "./fields.js";
import type { Link } from "./link.js";
import type { GuestStream } from "./stream.js";

const KIND_FUSE = 56;
const FLAG_READ_ONLY = 1;

/** A FUSE file system to be mounted in the workload's root. */
export interface FuseRequest {
  /** Absolute; missing folders are made. */
  path: string;
  readOnly: boolean;
  /** Whose the files shall be: `name`, `uid`, `name:group` or `uid:gid` out of the image's own files; "" is root. */
  user: string;
}

/** What a file server says to the guest's kernel. */
export interface FuseOutput {
  /** A whole reply; `done` is called once it is on its way, or nobody wants it any more. */
  send(message: Buffer, done: () => void): void;
  /** So many bytes of requests need no room any more: the guest may send as many again. */
  consumed(bytes: number): void;
}

/** What a file server is told. */
export interface FuseHandler {
  /** It is mounted; `owner` is the user's ids. What this throws fails the mount. */
  mounted(owner: { uid: number; gid: number }, output: FuseOutput): void;
  /** Bytes of requests, as they come. What this throws is taken for a broken protocol and ends the connection. */
  data(bytes: Buffer): void;
  /** Nothing more will come: it was unmounted, or the guest is gone. */
  closed(): void;
}

/** Has the agent mount it; resolves once that is done. Requests may come from then on. */
export function mountFuse(link: Link, request: FuseRequest, handler: FuseHandler): Promise<GuestStream> {
  const payload = encodeRequest(request);
  return new Promise((resolve, reject) => {
    let mounted = false;
    const over = (error: Error): void => {
      if (mounted) handler.closed();
      reject(error);
    };
    const stream = link.open(payload, 1, {
      data: (_channel, bytes) => handler.data(bytes),
      end: () => {},
      result: (kind, result) => {
        if (kind === ResultKind.failed) {
          over(new VmError(`The guest could not mount ${request.path}: ${decodeFailure(result).text}`));
          return true;
        }
        if (kind === ResultKind.done && mounted) {
          over(new VmError(`${request.path} was unmounted in the guest`));
          return true;
        }
        if (kind !== ResultKind.started || mounted) throw new Error(`an unexpected RESULT ${kind} for a mount`);
        const fields = new Fields(result, [2, 3]);
        const output: FuseOutput = {
          send: (message, done) => stream.write(message, () => done()),
          consumed: (bytes) => stream.consumed(0, bytes),
        };
        try {
          handler.mounted({ uid: fields.u32(2), gid: fields.u32(3) }, output);
        } catch (error) {
          reject(error);
          queueMicrotask(() => stream.close());
          return false;
        }
        mounted = true;
        resolve(stream);
        return false;
      },
      failed: over,
    });
  });
}

function encodeRequest({ path, readOnly, user }: FuseRequest): Buffer {
  if (!path.startsWith("/") || path.includes("\0") || Buffer.byteLength(path) > 4095) {
    throw new UsageError(`Not an absolute path in the guest: ${JSON.stringify(path.slice(0, 100))}`);
  }
  if (user.includes("\0")) throw new UsageError("the owner of a mount holds a NUL character");
  const fields = new FieldWriter()
    .kind(KIND_FUSE)
    .string(1, path)
    .u32(2, readOnly ? FLAG_READ_ONLY : 0);
  if (user !== "") fields.string(3, user);
  return fields.toBuffer();
}
