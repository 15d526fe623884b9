declare module "fs-native-extensions" {
  /** Takes an exclusive kernel lock on an open file; false when another open file has it. */
  export function tryLock(fd: number): boolean;
  /** The same for a range of bytes; a shared lock can be held by many at a time. */
  export function tryLock(fd: number, offset: number, length: number, options: { shared: boolean }): boolean;
  /** Names of an open file's extended attributes. */
  export function listAttrsSync(fd: number): string[];
  /** The value of one of them, or null. */
  export function getAttrSync(fd: number, name: string): Buffer | null;
  export function setAttrSync(fd: number, name: string, value: Buffer): void;
}
