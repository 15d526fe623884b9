/* Prints who it runs as, for roots that have no `id`. */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
  gid_t groups[256];
  int count = getgroups(256, groups);
  printf("%d %d [", (int)getuid(), (int)getgid());
  for (int i = 0; i < count; i++) printf("%s%d", i ? " " : "", (int)groups[i]);
  printf("] %s\n", getenv("HOME"));
  return 0;
}
