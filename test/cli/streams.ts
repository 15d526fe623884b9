import { vi } from "vitest";

/** What is written to one of this process's own streams from now on, instead of being written there. */
export function capture(stream: "stdout" | "stderr"): { text: () => string } {
  let text = "";
  vi.spyOn(process[stream], "write").mockImplementation((chunk) => {
    text += chunk.toString();
    return true;
  });
  return { text: () => text };
}

/** A stream like a terminal or a file, which keeps what is written to it. */
export function fakeStream(properties: { isTTY?: boolean; columns?: number } = {}) {
  const chunks: string[] = [];
  const stream = { ...properties, write: (chunk: string) => chunks.push(chunk) > 0 };
  return { stream: stream as unknown as NodeJS.WriteStream, chunks, text: () => chunks.join("") };
}
