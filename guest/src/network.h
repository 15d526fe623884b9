/* The workload's network: what the host is asked, and what it answers (docs/agent-protocol.md, docs/network.md). */
#ifndef NETWORK_H
#define NETWORK_H

#include "link.h"
#include "request.h"

/* Makes the namespaces and interfaces. 0, or an errno and the step that failed. */
int network_set_up(const char **step);
/* Begins to look at what comes; the loop is there. */
void network_init(void);

/* Opens what the host asked for; NULL, or why the session must end. */
const char *network_open(struct link *link, uint32_t id, const struct request *request);
bool network_owns(const struct link *link, uint32_t id);
/* A DATA, END, CREDIT or CLOSE for a stream that network_owns. */
const char *network_frame(struct link *link, const struct frame *frame, const uint8_t *bytes);

void network_event(uint32_t slot);
/* The link's session has ended: its connections are reset. */
void network_detach(struct link *link);

#endif
