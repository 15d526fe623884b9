#include <stdio.h>
#include <unistd.h>

#include "greet.h"

int main(int argc, char **argv) {
    greet(argc > 1 ? argv[1] : "nobody");
    printf("user %d\n", (int)getuid());
    return 0;
}
