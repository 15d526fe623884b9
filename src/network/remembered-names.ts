/** Programs keep addresses longer than a record's time to live. */
const LEAST_MS = 3_600_000;
const ADDRESSES_MAX = 4_096;
const NAMES_MAX = 16;

/** Which names the guest was given which addresses for. What is too much drops what was given out longest ago. */
export class RememberedNames {
  readonly #now: () => number;
  readonly #names = new Map<string, Map<string, number>>();

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  add(name: string, address: string, ttlSeconds: number): void {
    const names = this.#names.get(address) ?? new Map<string, number>();
    put(this.#names, address, names, ADDRESSES_MAX);
    put(names, name, this.#now() + Math.max(LEAST_MS, ttlSeconds * 1_000), NAMES_MAX);
  }

  of(address: string): string[] {
    const now = this.#now();
    return [...(this.#names.get(address) ?? [])].filter(([, until]) => until > now).map(([name]) => name);
  }
}

/** Puts the entry last, and drops the first ones when there are too many. */
function put<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  for (const first of map.keys()) {
    if (map.size <= most) return;
    map.delete(first);
  }
}
