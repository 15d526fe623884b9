/* The agent's children that have ended. */
#ifndef REAP_H
#define REAP_H

#include <stdbool.h>

/* Tells of one that has ended, if any. */
void reap(void);

/*
 * To be called when what was told has been sent: buries who was told of, which takes the kernel a while that nobody has to wait for, and tells
 * of the next one. False when there is none.
 */
bool reap_rest(void);

#endif
