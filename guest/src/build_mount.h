/* What mounts of a build have in common. All end the task with FAILED when they cannot. */
#ifndef BUILD_MOUNT_H
#define BUILD_MOUNT_H

/* An empty folder of memory as working directory, in a namespace of this task alone: its mounts are gone with it, what is moved out of it stays. */
void mount_enter_private_place(void);

/* What is at `path` below `of`, or `of` itself, as a mount that is nowhere yet. */
int mount_clone(int of, const char *path);

/* Enters the workload's root, and mounts there at `path`, which is made if it is missing. */
void mount_move(int tree, const char *path);

#endif
