/* The export `run-scenario`. */
#include <stdlib.h>
#include <string.h>
#include "guest.h"
#include "run.h"

static struct guest_said said;

GUEST_EXPORT("run-scenario") struct guest_said *run_scenario_export(char *yaml, size_t n)
{
    char *text;
    said.failed = !run_scenario(yaml, n, &text);
    said.text = (struct guest_text){text, strlen(text)};
    guest_free(yaml);
    return &said;
}

GUEST_EXPORT("cabi_post_run-scenario") void run_scenario_post(struct guest_said *of)
{
    free(of->text.at);
}
