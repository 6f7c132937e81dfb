#include <stdio.h>
#include <stdlib.h>
#include "action.h"
#include "options.h"

void outcome_done(struct outcome *o)
{
    free(o->error);
    free(o->cause);
    free(o->detail);
    free(o->body);
    free(o->from);
    *o = (struct outcome){0};
}

void action_announce(const struct action_def *def, const json_t *with)
{
    const char *url = json_string_value(json_object_get(with, "url"));
    const char *bind = json_string_value(json_object_get(with, "bind_ip"));
    if (options.quiet) {
        return;
    }
    fputs("[HTTP] ", stdout);
    for (const char *c = def->call; *c != '\0'; c++) {
        putchar(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    }
    printf(bind != NULL ? " %s (bind_ip: %s)\n" : " %s\n", url != NULL ? url : "", bind);
}
