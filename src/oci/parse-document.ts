import * as v from "valibot";
import { ImageError } from "../errors.js";
import { printable } from "./printable.js";

/** No document of an image may be larger: 4 MiB, as registries and containerd have it. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/**
 * Decodes a JSON document and validates it. `what` names it in messages, such as `index.json of oci-layout:x`.
 * @throws ImageError that says which field is wrong, and how.
 */
export function parseDocument<S extends v.GenericSchema>(schema: S, bytes: Uint8Array, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, decode(bytes, what), { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue);
  throw new ImageError(
    `${what} is malformed: ${path === null ? "" : `${printable(path)}: `}${printable(issue.message)}`,
  );
}

function decode(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw new ImageError(`${what} is larger than ${MAX_DOCUMENT_BYTES} bytes, which no document of an image may be`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ImageError(`${what} is not JSON`, { cause });
  }
}
