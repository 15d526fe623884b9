import { ImageError, UsageError } from "../../errors.js";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** What a layer may unpack to whatever its size: zeros, as in an empty disk image, pack to nothing. */
const ALWAYS = 4 * GIB;
/** Programs pack to a third and logs to a twentieth; gzip's most is 1,032 times, zstd has no bound. */
const PLAUSIBLE_RATIO = 100;

/**
 * How many bytes a layer's blob may unpack to: a hundred times its size, at least 4 GiB; or what `SUPERMACHINE_MAX_LAYER_MIB`
 * says, for every layer.
 * @throws UsageError when that is no number
 */
export function unpackLimit(blobSize: number | undefined, env: NodeJS.ProcessEnv = process.env): number {
  const setting = env.SUPERMACHINE_MAX_LAYER_MIB;
  if (!setting) return Math.max(ALWAYS, (blobSize ?? 0) * PLAUSIBLE_RATIO);
  if (/^[1-9]\d{0,9}$/.test(setting)) return Number(setting) * MIB;
  throw new UsageError(`SUPERMACHINE_MAX_LAYER_MIB is ${JSON.stringify(setting)}`, { hint: "It is a number of MiB." });
}

/** The layer grows and grows. */
export function tooLarge(limit: number, blobSize: number | undefined): ImageError {
  const from = blobSize === undefined ? "" : ` from ${blobSize} bytes`;
  return new ImageError(
    `The layer unpacks to more than ${Math.floor(limit / MIB)} MiB${from}, which no usual layer does`,
    {
      hint: "If the image is to be trusted, set SUPERMACHINE_MAX_LAYER_MIB to what one of its layers may have.",
    },
  );
}
