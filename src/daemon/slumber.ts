/** A sleep: who wakes it, and whether it could be started then. */
interface Nap {
  woken: Promise<void>;
  wake: () => void;
  started: Promise<void>;
  settle: (error?: unknown) => void;
}

/** Whether a VM sleeps, which is when nobody needs it: no worker that is asked for, and no visitor that runs a command or copies files. */
export class Slumber {
  #nap: Nap | undefined;
  #visitors = 0;
  #isWanted = false;

  /** Whether it sleeps, or is about to. */
  get isAsleep(): boolean {
    return this.#nap !== undefined;
  }

  /** Whether it is to sleep as soon as it can. */
  get isDue(): boolean {
    return this.#isWanted && this.#visitors === 0 && !this.#nap;
  }

  /** It is to sleep. */
  want(): void {
    this.#isWanted = true;
  }

  /** It goes to sleep now. */
  begin(): void {
    this.#nap = nap();
  }

  /** It is needed, and stays awake from then on. Resolves when it runs. Rejects when it cannot be started. */
  async wake(): Promise<void> {
    this.#isWanted = false;
    await this.#rouse();
  }

  /** Resolves when it is to be started again. */
  async untilWoken(): Promise<void> {
    await this.#nap?.woken;
  }

  /** It runs again, or with an error never will. */
  over(error?: unknown): void {
    this.#nap?.settle(error);
    this.#nap = undefined;
  }

  /** It could not be started, and sleeps on. */
  failed(error: unknown): void {
    const former = this.#nap;
    this.#nap = nap();
    former?.settle(error);
  }

  /** Keeps it awake for as long as `work` takes, which wakes it when it needs it. */
  async visit<T>(work: (wake: () => Promise<void>) => Promise<T>): Promise<T> {
    this.#visitors++;
    try {
      return await work(() => this.#rouse());
    } finally {
      this.#visitors--;
    }
  }

  async #rouse(): Promise<void> {
    const { wake, started } = this.#nap ?? {};
    wake?.();
    await started;
  }
}

function nap(): Nap {
  let wake: Nap["wake"] = () => undefined;
  let settle: Nap["settle"] = () => undefined;
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const started = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // It may be woken by its end alone, which nobody waits for.
  started.catch(() => undefined);
  return { woken, wake, started, settle };
}
