/* The epoll loop and its names for what is watched. */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum role { ROLE_STATUS, ROLE_INPUT, ROLE_OUTPUT, ROLE_ERROR, ROLE_LINK, ROLE_SIGNALS, ROLE_FLOW, ROLE_NETWORK };

void loop_init(void);
bool loop_watch(int fd, uint32_t events, enum role role, uint32_t slot, uint32_t generation);
bool loop_rewatch(int fd, uint32_t events, enum role role, uint32_t slot, uint32_t generation);
_Noreturn void loop_run(void);

#endif
