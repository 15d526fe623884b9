/* The rules of hold.c, with a clock of its own. */
#include "../src/fuse.h"
#include "../src/hold.h"
#include "../src/stream.h"

#include <stdio.h>
#include <stdlib.h>

static int64_t now;
static bool folders;

int64_t now_ms(void) { return now; }
bool fuse_in_use(void) { return folders; }

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      printf("line %d: %s\n", __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

static void at(int64_t time) {
  now = time;
  hold_expire(now);
}

int main(void) {
  at(1000);
  hold_spend(1 << 20);
  CHECK(!hold_active() && hold_deadline() == INT64_MAX);

  /* A little is moved while a command starts, and no more until its time is over. */
  hold_begin(7);
  hold_spend(65535);
  CHECK(!hold_active() && hold_deadline() == INT64_MAX);
  hold_spend(1);
  CHECK(hold_active() && hold_deadline() == 1008);
  hold_spend(SIZE_MAX);
  at(1007);
  CHECK(hold_active());
  at(1008);
  CHECK(!hold_active() && hold_deadline() == INT64_MAX);

  /* Then all goes on for as long as it was held up. */
  at(1015);
  hold_begin(8);
  hold_spend(1 << 20);
  CHECK(!hold_active());
  at(1016);
  hold_begin(9);
  hold_spend(1 << 20);
  CHECK(hold_active());

  /* It is over with the command for which it was, and another one's start does not prolong it. */
  at(1018);
  hold_begin(10);
  hold_end(10);
  CHECK(hold_active() && hold_deadline() == 1024);
  hold_end(9);
  CHECK(!hold_active());
  hold_end(9);
  at(1020);
  hold_begin(11);
  hold_spend(1 << 16);
  CHECK(hold_active() && hold_deadline() == 1028);
  hold_end(11);

  /* One that lasts, while there is little to move, has held up nothing: the next one's start is not to pay for it. */
  at(1100);
  hold_begin(12);
  hold_spend(65535);
  at(1900);
  hold_begin(13);
  hold_end(13);
  hold_begin(14);
  hold_spend(1 << 20);
  CHECK(hold_active() && hold_deadline() == 1908);
  hold_end(14);

  /* What starts may itself have to come over the bulk link. */
  at(2000);
  folders = true;
  hold_begin(15);
  hold_spend(1 << 20);
  CHECK(!hold_active());
  puts("ok");
  return 0;
}
