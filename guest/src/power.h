/* The end of the machine. */
#ifndef POWER_H
#define POWER_H

/* Powers off once the answers that wait have left. */
void power_off_soon(void);
void power_check(void);

#endif
