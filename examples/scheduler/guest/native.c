/* The scheduler as a program of this machine: scheduler FILE. The same sources as in the
 * components, without a sandbox around them. */
#include <stdio.h>
#include <stdlib.h>
#include "run.h"
#include "text.h"
#include "tree.h"

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, argc == 2 ? "scheduler: cannot read %s\n" : "usage: scheduler FILE\n",
                argv[argc - 1]);
        return 2;
    }
    char *yaml = need(YAML_BYTES_MAX + 1), *said;
    size_t n = fread(yaml, 1, YAML_BYTES_MAX + 1, file);
    fclose(file);
    bool ok = run_scenario(yaml, n, &said);
    fputs(said, ok ? stdout : stderr);
    free(said);
    free(yaml);
    return ok ? 0 : 1;
}
