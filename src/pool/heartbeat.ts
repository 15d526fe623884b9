/** An unanswered question is looked at so often before it counts: a host that stood still must not blame the guest. */
const LOOKS = 3;

/**
 * Asks again and again, and calls `dead` once when no answer came for `limitMs`, or at once when the answer is a failure.
 * @returns ends it
 */
export function watch(ask: () => Promise<void>, limitMs: number, dead: (reason: Error) => void): () => void {
  let looks = 0;
  let asking = false;
  const tick = () => {
    if (asking && ++looks < LOOKS) return;
    if (asking) return fail(new Error(`no answer for ${limitMs} ms`));
    [asking, looks] = [true, 0];
    ask().then(
      () => {
        asking = false;
      },
      (error: unknown) => fail(error instanceof Error ? error : new Error(String(error))),
    );
  };
  const timer = setInterval(tick, limitMs / (LOOKS + 1)).unref();
  let over = false;
  const stop = () => {
    over = true;
    clearInterval(timer);
  };
  const fail = (reason: Error) => {
    if (over) return;
    stop();
    dead(reason);
  };
  return stop;
}
