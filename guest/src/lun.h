/*
 * Disks of the virtio-scsi controller, by number: target and LUN in one, 8 bits each. Events of the controller say LUNs above 255 in a way of their
 * own, which Linux takes for other disks.
 */
#ifndef LUN_H
#define LUN_H

#include <stdint.h>

/* Starts listening for new disks; 0 or an errno. */
int lun_listen(void);

/* Asks the controller for a LUN that has been plugged in while nobody listened. */
void lun_rescan(uint16_t lun);

/* Gives the path of the LUN's block device in `path`; 0, or ENOENT while there is none. */
int lun_find(uint16_t lun, char path[64]);

/*
 * Bytes of the LUN's block device. 0 while they are not known; then the disk is asked for them again: when many are plugged in at once, each tells
 * the kernel of the others instead of answering its first questions, and the kernel soon gives up.
 */
uint64_t lun_size(uint16_t lun, const char *device);

/* Waits until some device changes, for at most `timeout_ms`. */
void lun_wait(int timeout_ms);

#endif
