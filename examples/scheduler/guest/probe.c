/* Who calls an executor: gives it an action and, through an action-context, another one to follow.
 */
#include <stdlib.h>
#include <string.h>
#include "actions.h"
#include "text.h"

GUEST_WIT("probe.wit", GUEST_PACKAGE("executor.wit"));

#define CONTEXT "scheduler:executor/context@0.1.0"
#define NAMED(s) (s), sizeof(s) - 1

GUEST_IMPORT(CONTEXT, "[constructor]action-context") uint32_t context_new(void);
GUEST_IMPORT(CONTEXT, "[resource-drop]action-context") void context_drop(uint32_t ctx);
GUEST_IMPORT(CONTEXT, "[method]action-context.register-action")
void context_register(uint32_t ctx, const char *id, size_t id_len, const char *call,
                      size_t call_len, const char *with, size_t with_len, const void *exports,
                      size_t nexports);
GUEST_IMPORT(CONTEXT, "[method]action-context.add-task")
void context_add_task(uint32_t ctx, const char *id, size_t id_len, int32_t has_action,
                      const char *action, size_t action_len, int32_t kind, const void *edges,
                      size_t nedges);
GUEST_IMPORT(CONTEXT, "[method]action-context.remove-task")
void context_remove_task(uint32_t ctx, const char *id, size_t n);
GUEST_IMPORT("scheduler:executor/component-api@0.1.0", "execute-action")
void execute_action(const char *id, size_t id_len, const char *call, size_t call_len,
                    const char *with, size_t with_len, const void *exports, size_t nexports,
                    uint32_t ctx, struct guest_outcome *out);

static struct guest_text said;

/* probe: func(url: string) -> string: the outcome's detail. */
GUEST_EXPORT("probe") struct guest_text *probe(const char *url, size_t n)
{
    struct text with = TEXT_INIT(4000);
    struct guest_outcome out = {0};
    uint32_t unused = context_new(), ctx = context_new();
    text_format(&with, "{\"url\":\"%.*s\"}", (int)n, url);
    context_register(ctx, NAMED("dynamic"), NAMED("post"), with.at, with.len, NULL, 0);
    context_add_task(ctx, NAMED("dynamic-node"), 1, NAMED("dynamic"), 0, NULL, 0);
    context_add_task(ctx, NAMED("gone"), 1, NAMED("dynamic"), 0, NULL, 0);
    context_remove_task(ctx, NAMED("gone"));
    execute_action(NAMED("probe-get"), NAMED("get"), with.at, with.len, NULL, 0, ctx, &out);
    context_drop(unused);
    text_done(&with);
    said = out.failed ? out.is.error : out.is.ok.detail.text;
    return &said;
}

GUEST_EXPORT("cabi_post_probe") void probe_post(struct guest_text *of)
{
    guest_free(of->at);
}
