import { afterEach, describe, expect, test, vi } from "vitest";
import { UsageError } from "../../src/errors.js";
import { MemoryLimit } from "../../src/machine/index.js";

afterEach(() => vi.unstubAllEnvs());

function user(gives = 0, yields = false) {
  return { yields, reclaim: vi.fn(() => gives), freed: vi.fn() };
}

describe("the memory limit", () => {
  test("is none by default", () => {
    const limit = new MemoryLimit();
    limit.count(1e9);
    expect(limit.obstacle(1e9)).toBeUndefined();
  });

  test("comes from the environment, unless it was set", () => {
    vi.stubEnv("SUPERMACHINE_MAX_MEMORY_MIB", "100");
    const limit = new MemoryLimit();
    expect(limit.maxMiB).toBe(100);
    limit.set(200);
    expect(limit.maxMiB).toBe(200);
    limit.set(undefined);
    expect(limit.maxMiB).toBe(100);
  });

  test.each(["none", "-1", "0"])("cannot be %j", (value) => {
    vi.stubEnv("SUPERMACHINE_MAX_MEMORY_MIB", value);
    expect(() => new MemoryLimit().maxMiB).toThrow(UsageError);
    expect(() => new MemoryLimit().set(Number(value))).toThrow(UsageError);
    const limit = new MemoryLimit();
    expect(() => limit.count(1)).toThrow(/SUPERMACHINE_MAX_MEMORY_MIB is /);
    expect(limit.usedMiB).toBe(0);
  });

  test("says what is in the way, until enough was let go of, once each", () => {
    const limit = new MemoryLimit();
    limit.set(100);
    const [first, second] = [limit.count(60), limit.count(60)];
    expect(limit.usedMiB).toBe(120);
    expect(limit.obstacle(40)).toBe(
      "The limit maxMemoryMiB is 100: the guests of this process may take 120 MiB already, and one more 40 MiB.",
    );
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(limit.usedMiB).toBe(60);
    expect(limit.obstacle(40)).toBeUndefined();
    expect(limit.obstacle(41)).toContain("maxMemoryMiB");
    second[Symbol.dispose]();
  });

  test("tells its users when there is more room, until they leave", () => {
    const limit = new MemoryLimit();
    const [stays, leaves] = [user(), user()];
    limit.join(stays);
    limit.join(leaves)[Symbol.dispose]();
    limit.count(1)[Symbol.dispose]();
    limit.set(10);
    expect(stays.freed).toHaveBeenCalledTimes(2);
    expect(leaves.freed).not.toHaveBeenCalled();
  });

  test("asks one of the others for one thing at a time, never who asks", () => {
    const limit = new MemoryLimit();
    const [asker, poor, rich] = [user(1), user(0), user(1)];
    for (const each of [asker, poor, rich]) limit.join(each);
    const held = limit.count(1);
    limit.makeRoom(asker);
    limit.makeRoom(asker);
    expect([asker, poor, rich].map(({ reclaim }) => reclaim.mock.calls.length)).toEqual([0, 1, 1]);
    held[Symbol.dispose]();
    limit.makeRoom(asker);
    expect(rich.reclaim).toHaveBeenCalledTimes(2);
  });

  test("takes what yields as soon as others need it, and no more than they need", () => {
    const limit = new MemoryLimit();
    const spares = user(20, true);
    limit.join(spares);
    limit.set(100);
    for (let i = 0; i < 3; i++) limit.count(20, true);
    expect([limit.obstacle(100), limit.obstacle(50, true)]).toEqual([undefined, expect.stringContaining("100")]);
    limit.count(70);
    expect(spares.reclaim).toHaveBeenCalledTimes(2);
    limit.makeRoom(user());
    expect(spares.reclaim).toHaveBeenCalledTimes(2);
  });
});
