/* Pieces of a workload's root file system. All end the task with FAILED when they cannot. */
#ifndef ROOT_H
#define ROOT_H

#include "request.h"

/* Mounts the layers and stacks them under a writable upper layer; leaves the result at the folder "root" of the cwd. */
void root_stack(const struct assemble_request *request);

/* Makes the folder of the cwd and mounts a tmpfs on it; 0 bytes are the kernel's default, half of the memory. */
void root_mount_memory(const char *folder, uint64_t bytes);

/* Makes the folder of the cwd and mounts there what the writable layer is kept on: memory, or the disk that was asked for. */
void root_mount_upper(const struct assemble_request *request, const char *folder);

/* Makes the folder `root` of the cwd the root of this mount namespace. */
void root_enter(void);

/* /proc, /sys and /dev of the root that has been entered. */
void root_populate(const struct assemble_request *request);

/* Writes the kernel parameters that were asked for; they are of the calling process's namespaces. */
void root_set_sysctls(const struct assemble_request *request);

/*
 * For a root whose writable layer shall hold nothing but what the workload does: keeps that layer within reach, and takes the files along
 * that will lie over those of the root.
 */
void root_keep_layer(const struct assemble_request *request);

/* Makes the folder "places" of the cwd, a lowest layer of places to mount upon, so that none has to be made in the layer that is kept. */
void root_make_places(const struct assemble_request *request);

/* Mounts those files at their places in the root that has been entered. */
void root_cover_files(const struct assemble_request *request);

/* Writes /etc/hostname and its like, replacing links instead of following them. */
void root_write_files(const struct assemble_request *request);

#endif
