/* The eBPF program that steers all traffic of a network namespace to two sockets. */
#ifndef STEER_H
#define STEER_H

/* From now until the machine ends, every connection and datagram that no connected socket has is theirs. 0 or an errno. */
int steer_to(int tcp, int udp);

#endif
