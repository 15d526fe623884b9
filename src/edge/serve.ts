import { type Image, shortName } from "../image/index.js";
import { type EdgeOptions, HttpEdge } from "./http-edge.js";
import type { ServiceOptions } from "./options.js";
import { pooledWorkers, type VmWorkerOptions } from "./pooled-workers.js";

/** How an image is served. */
export interface ServeOptions extends EdgeOptions, ServiceOptions, VmWorkerOptions {
  /** What it is called: it is reached as `NAME.localhost` too. By default the image's name. */
  name?: string | undefined;
}

/**
 * Serves the HTTP server of an image on a port of the host, by as many microVMs as are asked for. Bake the image with
 * `ready: "listener"`, and a microVM serves as soon as it is restored.
 * @throws NetworkError when the port is in use, UsageError
 */
export async function serve(image: Image, options: ServeOptions = {}): Promise<HttpEdge> {
  const edge = await HttpEdge.listen(options);
  try {
    serveAlso(edge, image, options);
    return edge;
  } catch (error) {
    await edge.close();
    throw error;
  }
}

/** Serves one more image on the port of an edge, as `NAME.localhost`. @throws UsageError when the name is taken */
export function serveAlso(edge: HttpEdge, image: Image, options: Omit<ServeOptions, keyof EdgeOptions> = {}): void {
  const { name = shortName(image.name), workers = 1 } = options;
  edge.add(name, pooledWorkers(image, workers, options), options);
}
