/* Each action is an HTTP request over wasi:sockets. */
#include "actions_export.h"
#include "detail.h"

void do_action(const struct action_def *def, const json_t *with, const char *url)
{
    char *detail;
    bool good = action_run(def, with, url, &detail);
    outcome_is(!good, detail);
}
