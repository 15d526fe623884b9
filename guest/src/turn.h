/* A place in the line of those that have something to say on a link. */
#ifndef TURN_H
#define TURN_H

#include <stdbool.h>

struct turn {
  struct turn *next;
  /* Writes what there is to say now, at most as much as ROOM_TO_SERVE. */
  void (*serve)(struct turn *turn);
  bool queued;
};

#endif
