import { ImageError, ImageNotFoundError, RegistryAuthError, RegistryUnreachableError } from "../../errors.js";
import { connectionError, HttpFailure, isTransient } from "./http-failure.js";

/** The public error for whatever kept something from being pushed. `problem` is why there are no credentials. */
export function pushError(error: unknown, what: string, registry: string, problem?: string): Error {
  if (!(error instanceof HttpFailure)) return connectionError(error, `${what} cannot be pushed to ${registry}`);
  const { status, message } = error;
  const failed = `${what} cannot be pushed: ${message}`;
  if (status === 401 || status === 403) {
    const why = status === 401 ? "it wants other credentials" : "these credentials may not push there";
    const hint = `Check the name, and the credentials (docker login ${registry}).`;
    return new RegistryAuthError(`${failed}: ${why}`, { hint: problem === undefined ? hint : `${hint} ${problem}` });
  }
  if (isTransient(error)) {
    const hint =
      status === 429 ? "The registry limits requests; wait, or log in." : "The registry has a problem; try later.";
    return new RegistryUnreachableError(`${failed}, again and again`, { hint });
  }
  if (status === 404) {
    return new ImageNotFoundError(`${failed}: there is no such repository`, {
      hint: "Check the name; some registries want a repository to be made before it is pushed to.",
    });
  }
  if (status === 405) return new ImageError(`${failed}: it is read-only`);
  if (status === 413) return new ImageError(`${failed}: it is larger than the registry, or a proxy before it, takes`);
  return new ImageError(failed);
}
