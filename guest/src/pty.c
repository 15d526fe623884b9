#define _GNU_SOURCE
#include "pty.h"

#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

int pty_resize(int controller, uint16_t rows, uint16_t cols) {
  struct winsize size = {.ws_row = rows, .ws_col = cols};
  return ioctl(controller, TIOCSWINSZ, &size) < 0 ? errno : 0;
}

/* Without it, the terminal's own line editing takes a character of several bytes for several characters. */
static bool set_utf8(int terminal) {
  struct termios settings;
  if (tcgetattr(terminal, &settings) < 0) return false;
  settings.c_iflag |= IUTF8;
  return tcsetattr(terminal, TCSANOW, &settings) == 0;
}

int pty_open(int *controller, int *terminal, uint16_t rows, uint16_t cols) {
  int unlock = 0;
  int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  *controller = workload_open_ptmx(flags | O_NONBLOCK);
  if (*controller < 0) return errno;
  if (ioctl(*controller, TIOCSPTLCK, &unlock) == 0) {
    /* Without a path: the name would be looked up in the agent's own /dev. */
    *terminal = ioctl(*controller, TIOCGPTPEER, flags);
    if (*terminal >= 0 && set_utf8(*terminal) && pty_resize(*controller, rows, cols) == 0) return 0;
  }
  int error = errno;
  if (*terminal >= 0) close(*terminal);
  close(*controller);
  return error;
}
