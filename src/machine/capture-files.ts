/** Names of the files that make up a captured guest, besides the image of its root's disk, if it has one. */
export const CAPTURE_FILES = { delta: "memory.delta", deviceState: "device.state" } as const;
