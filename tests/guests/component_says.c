/* A skill that is a component and uses WASI beside its own interface: prints, logs, reads its
 * environment, keeps a file, exits. The input chooses. */
#include <stdio.h>
#include <stdlib.h>
#include "cis_component.h"

static struct cis_outcome keep(void)
{
    FILE *f = fopen("/workspace/said.txt", "a");
    if (f == NULL) {
        return cis_err("no file");
    }
    fputs("kept\n", f);
    return fclose(f) == 0 ? cis_ok("kept", 4) : cis_err("not written");
}

static struct cis_outcome variable(void)
{
    const char *value = getenv("SAID");
    return value != NULL ? cis_ok(value, strlen(value)) : cis_err("no variable");
}

CIS_COMPONENT_RUN(input)
{
    switch (input.len > 1 ? input.at[1] : 0) { /* after the quote of a JSON text */
    case 'p':
        printf("printed\n");
        fprintf(stderr, "complained\n");
        fflush(stdout);
        return cis_ok("\"answer\"", 8);
    case 'f':
        return keep();
    case 'v':
        return variable();
    case 'x':
        exit(3);
    default:
        return cis_err("what?");
    }
}
