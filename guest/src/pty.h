/* Pseudo-terminals. */
#ifndef PTY_H
#define PTY_H

#include <stdint.h>

/* Opens a pair, the controller non-blocking; 0 or an errno. */
int pty_open(int *controller, int *terminal, uint16_t rows, uint16_t cols);
int pty_resize(int controller, uint16_t rows, uint16_t cols);

#endif
