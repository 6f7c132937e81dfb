/* One call of a skill, as input.c, answer.c and run.c share it. */
#ifndef CIS_SKILLABI_CALL_H
#define CIS_SKILLABI_CALL_H

#include "skillabi/abi.h"

struct cis_abi_call {
    cis_engine_instance *instance;
    struct cis_host *host;
    const struct cis_skillabi_options *options;
    struct cis_skillabi_plan plan;
    union cis_slot io[4];
    bool returned;       /* io[0] holds the entry point's value */
    bool exited;         /* the guest ended itself by exit */
    struct cis_buf text; /* a text answer, or numbers as JSON */
    bool has_text;
};

static inline bool cis_abi_is(const struct cis_abi_call *r, const char *kind)
{
    return strcmp(r->plan.kind, kind) == 0;
}

/* Calls an export with io; the guest's own exit is an end of the run, not a failure of it. */
cis_code cis_abi_call_export(struct cis_abi_call *r, struct cis_str name, const char *type,
                             struct cis_error *err);
/* Hands the input over, calls the entry point of the plan, takes a text answer. */
cis_code cis_abi_enter(struct cis_abi_call *r, struct cis_error *err);
/* Copies a text answer while the guest's memory still holds it. */
cis_code cis_abi_take_answer(struct cis_abi_call *r, struct cis_error *err);
/* The same for a component, with all that it means (component.c). */
cis_code cis_abi_component_run(struct cis_abi_call *r, struct cis_skillabi_result *out,
                               struct cis_error *err);
/* What it all means. is_code: `code` is skill_init's, and the skill was not entered. */
cis_code cis_abi_conclude(struct cis_abi_call *r, int64_t code, bool is_code,
                          struct cis_skillabi_result *out, struct cis_error *err);

#endif
