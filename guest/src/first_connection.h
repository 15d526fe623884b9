/* What Linux does once, for the first TCP connection of all. */
#ifndef FIRST_CONNECTION_H
#define FIRST_CONNECTION_H

/*
 * Makes the kernel's first connections, over the loopback: it draws secrets for them and then patches itself so that it never asks again, which
 * a restored guest whose service is connected to would otherwise do while somebody waits. None of these secrets is for anybody but
 * processes of this guest: its connections elsewhere end at the agent.
 */
void make_first_connections(void);

#endif
