/* Maps a file as QEMU maps a guest's RAM, and touches pages of it as it is told to, one command a line on stdin. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096

int main(int argc, char **argv)
{
	struct stat facts;
	if (argc != 3)
		return 2;
	int file = open(argv[1], O_RDWR);
	if (file < 0 || fstat(file, &facts) != 0)
		return 3;
	int flags = strcmp(argv[2], "shared") == 0 ? MAP_SHARED : MAP_PRIVATE;
	unsigned char *memory = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, flags, file, 0);
	if (memory == MAP_FAILED)
		return 4;
	char command[16];
	unsigned long page;
	unsigned value;
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (scanf("%15s %lu %u", command, &page, &value) == 3) {
		volatile unsigned char *at = memory + page * PAGE;
		if (strcmp(command, "fill") == 0)
			memset(memory + page * PAGE, (int)value, PAGE);
		else if (strcmp(command, "touch") == 0)
			*at = *at;
		else if (strcmp(command, "protect") == 0 && mprotect(memory + page * PAGE, value * PAGE, PROT_READ) != 0)
			return 5;
		printf("%u %u\n", at[0], at[PAGE - 1]);
	}
	return 0;
}
