/* The exports of scheduler:actions-http/http-component; do_action is what each component does. */
#include <string.h>
#include "actions_export.h"
#include "text.h"

static struct guest_said said;
static struct guest_outcome outcome;

GUEST_EXPORT(ACTIONS "#init-component") struct guest_said *init_component(void)
{
    said.failed = 0;
    return &said;
}

GUEST_EXPORT(ACTIONS "#release-component") struct guest_said *release_component(void)
{
    said.failed = 0;
    return &said;
}

static void free_exports(struct guest_export *exports, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        guest_free(exports[i].type.at);
        guest_free(exports[i].name.at);
        if (exports[i].scope.is) {
            guest_free(exports[i].scope.text.at);
        }
        if (exports[i].initial.is) {
            guest_free(exports[i].initial.text.at);
        }
    }
    guest_free(exports);
}

void outcome_is(bool failed, char *detail)
{
    outcome.failed = 0;
    outcome.is.ok.failed = failed;
    outcome.is.ok.detail = (struct guest_maybe){1, {detail, strlen(detail)}};
}

void outcome_error(char *why)
{
    outcome.failed = 1;
    outcome.is.error = (struct guest_text){why, strlen(why)};
}

GUEST_EXPORT(ACTIONS "#do-http-action") struct guest_outcome *do_http_action(ACTION_DEF)
{
    struct text e = TEXT_INIT(1000);
    json_error_t problem;
    json_t *params = json_loadb(with, with_len, 0, &problem);
    struct action_def def = {.id = need_text(id, id_len), .call = need_text(call, call_len)};
    const char *url = json_string_value(json_object_get(params, "url"));
    if (params == NULL) {
        text_format(&e, "failed to parse with-params: %s", problem.text);
        outcome_error(text_take(&e));
    } else if (url == NULL) {
        text_format(&e, "failed to extract url: action `%.200s` missing `with.url`", def.id);
        outcome_error(text_take(&e));
    } else {
        for (char *c = def.call; *c != '\0'; c++) {
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        }
        do_action(&def, params, url);
    }
    json_decref(params);
    free(def.id);
    free(def.call);
    guest_free(id);
    guest_free(call);
    guest_free(with);
    free_exports(exports, nexports);
    return &outcome;
}

GUEST_EXPORT("cabi_post_" ACTIONS "#do-http-action")
void do_http_action_post(struct guest_outcome *o)
{
    guest_free(o->failed ? o->is.error.at : o->is.ok.detail.text.at);
}
