/* The two network namespaces of a guest: the agent's own, and the workload's with its eth0. */
#ifndef INTERFACES_H
#define INTERFACES_H

#include "intercept.h"

/*
 * Makes the namespace that the process is in the agent's own, opens the sockets there, and moves the process into a new one for the
 * workload, which its children inherit. 0, or an errno and the step that failed.
 */
int interfaces_set_up(struct interception *sockets, const char **step);

#endif
