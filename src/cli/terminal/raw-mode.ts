import { spawnSync } from "node:child_process";

/**
 * Has the terminal of our standard input hand every key and every byte of output through as it is, until it is disposed of. However this process ends except by
 * SIGKILL, Node puts the terminal back.
 */
export function rawMode(): Disposable {
  const terminal = process.stdin;
  const enter = (): void => {
    terminal.setRawMode(true);
    // Node's raw mode still turns \n into \r\n, but the guest's terminal has done that already, or was told not to.
    spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  };
  // Whoever stopped us has set the terminal up for somebody else meanwhile.
  const again = (): void => {
    terminal.setRawMode(false);
    enter();
  };
  enter();
  process.on("SIGCONT", again);
  return {
    [Symbol.dispose]() {
      process.off("SIGCONT", again);
      terminal.setRawMode(false);
    },
  };
}
