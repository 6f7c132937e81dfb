/* A component with the interface of actions-http that sends nothing: it writes down what it was
 * asked for. It has no network, and none can be given to it. */
#include <stdio.h>
#include "actions_export.h"
#include "text.h"

GUEST_WIT("actions-log.wit", GUEST_PACKAGE("actions-http.wit"));

void do_action(const struct action_def *def, const json_t *with, const char *url)
{
    struct text detail = TEXT_INIT(8000);
    (void)with;
    printf("[LOG] %s: %s %s\n", def->id, def->call, url);
    fflush(stdout);
    text_format(&detail, "%s %.4000s status=200 body_len=0", def->call, url);
    outcome_is(false, text_take(&detail));
}
