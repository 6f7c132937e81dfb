/* Arguments, environment and how a program ends. */
#include "raw.h"

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "exit") == 0) {
        exit((int)strtol(argv[2], NULL, 10));
    }
    if (strcmp(what, "return") == 0) {
        printf("last words");
        return (int)strtol(argv[2], NULL, 10);
    }
    if (strcmp(what, "_Exit") == 0) {
        printf("never seen");
        _Exit((int)strtol(argv[2], NULL, 10));
    }
    if (strcmp(what, "trap") == 0) {
        __builtin_trap();
    }
    extern char **environ;
    for (int i = 1; i < argc; i++) {
        printf("[%s]", argv[i]);
    }
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        printf("{%s}", *e);
    }
    uint32_t n = 0, size = 0;
    raw_args_sizes_get(&n, &size);
    printf(" %u %u\n", n, size);
    return 0;
}
