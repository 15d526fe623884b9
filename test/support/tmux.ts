import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

/** A real terminal of 80 by 24 characters with a shell in it, by tmux: what a test types and sees is what a person would. */
export class Tmux implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "supermachine-tmux-"));

  static async start(env: Record<string, string> = {}): Promise<Tmux> {
    const tmux = new Tmux();
    const shell = "env PS1='host> ' bash --norc --noprofile";
    await tmux.#run(["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell], {
      TERM: "xterm-256color",
      LC_ALL: "C.UTF-8",
      ...env,
    });
    await tmux.see("host>");
    return tmux;
  }

  /** Types text, then presses Enter. */
  async line(text: string): Promise<void> {
    await this.#run(["send-keys", "-l", text]);
    await this.keys("Enter");
  }

  /** Presses keys by their tmux names, such as `C-c` or `Escape`; other text is typed. */
  async keys(...keys: string[]): Promise<void> {
    await this.#run(["send-keys", ...keys]);
  }

  /** Pastes text as a terminal does: all at once, newlines as carriage returns. */
  async paste(text: string): Promise<void> {
    await execa("tmux", [...this.#server, "load-buffer", "-"], { input: text });
    await this.#run(["paste-buffer"]);
  }

  async resize(cols: number, rows: number): Promise<void> {
    await this.#run(["resize-window", "-x", String(cols), "-y", String(rows)]);
  }

  /** What the terminal shows now. */
  async screen(): Promise<string> {
    return (await this.#run(["capture-pane", "-p"])).stdout;
  }

  /** One of tmux's variables, such as `alternate_on`. */
  async variable(name: string): Promise<string> {
    return (await this.#run(["display-message", "-p", `#{${name}}`])).stdout;
  }

  /** Waits until the terminal shows something, and gives what it shows. */
  async see(what: string | RegExp, timeoutMs = 60_000): Promise<string> {
    let screen = "";
    for (const end = Date.now() + timeoutMs; Date.now() < end; ) {
      screen = await this.screen();
      if (typeof what === "string" ? screen.includes(what) : what.test(screen)) return screen;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the terminal never showed ${what}; it shows:\n${screen}`);
  }

  /**
   * Waits for a shell's prompt, and until the shell has read what the terminal answers it: busybox asks with each prompt where the
   * cursor is, and the answer must not get into what is typed next. It is behind us once a key is shown that was pressed after it.
   */
  async prompt(prompt: string): Promise<void> {
    await this.see(lastLine(prompt));
    await this.keys("x");
    await this.see(lastLine(`${prompt} x`));
    await this.keys("BSpace");
    await this.see(lastLine(prompt));
  }

  /** The terminal goes away, as when its window is closed. */
  async close(): Promise<void> {
    await execa("tmux", [...this.#server, "kill-server"], { reject: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get #server(): string[] {
    return ["-S", join(this.#folder, "socket")];
  }

  #run(args: string[], env: Record<string, string> = {}) {
    return execa("tmux", [...this.#server, ...args], { env });
  }
}

/** The terminal shows this, and nothing below it. */
function lastLine(text: string): RegExp {
  return new RegExp(`^${text}\\s*$(?![^]*\\S)`, "m");
}
