/* From the kernel's first process to the two open links. */
#ifndef BOOT_H
#define BOOT_H

/* Fills the descriptors of the control and the bulk link; powers off when it cannot. */
void boot(int fds[2]);

/* Loads the modules that /modules/order names, one a line (modules.c). */
void modules_load(void);

#endif
