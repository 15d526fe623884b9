import { UsageError } from "../errors.js";
import { LOG_LEVELS, logLevel } from "../log.js";

/** @throws UsageError when `SUPERMACHINE_LOG` is set to something else than a level */
export function checkLogLevel(env: NodeJS.ProcessEnv = process.env): void {
  if (!env.SUPERMACHINE_LOG || logLevel(env) !== undefined) return;
  throw new UsageError(`SUPERMACHINE_LOG is ${JSON.stringify(env.SUPERMACHINE_LOG)}`, {
    hint: `It is one of ${LOG_LEVELS.join(", ")}.`,
  });
}
