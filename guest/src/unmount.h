/* The end of the workload's mounts. */
#ifndef UNMOUNT_H
#define UNMOUNT_H

#include <stdint.h>

/* In the workload's root: unmounts volumes and host folders, so that the former are clean and the latter complete. Tries until `end_ms`. */
void unmount_all(int64_t end_ms);

#endif
