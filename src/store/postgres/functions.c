/* Are the functions and triggers of the schema those that its steps make? A function that runs with
 * its owner's rights, or in every writer's session, is checked word for word. */
#include "base/mem.h"
#include "store/postgres/internal.h"

struct function {
    struct cis_str name, body;
    bool definer, seen;
};

static bool cut_after(struct cis_str *text, const char *mark)
{
    size_t n = strlen(mark);
    const char *at = text->len != 0 ? memmem(text->ptr, text->len, mark, n) : NULL;
    if (at == NULL) {
        return false;
    }
    at += n;
    *text = (struct cis_str){at, text->len - (size_t)(at - text->ptr)};
    return true;
}

/* What a step makes; false: it makes no function. */
static bool function_of(const char *step, struct function *out)
{
    struct cis_str rest = cis_str_of(step), head;
    if (!cis_str_starts(rest, CIS_STR("CREATE FUNCTION cis."))) {
        return false;
    }
    (void)cut_after(&rest, "cis.");
    head = rest;
    (void)cis_str_split(&head, '(', &out->name);
    if (!cut_after(&rest, "$$")) {
        return false;
    }
    out->definer = strstr(step, " SECURITY DEFINER ") != NULL;
    const char *end = memmem(rest.ptr, rest.len, "$$", 2);
    out->body = (struct cis_str){rest.ptr, end != NULL ? (size_t)(end - rest.ptr) : 0};
    return true;
}

static cis_code collect(struct cis_buf *functions, size_t *out_triggers, struct cis_error *err)
{
    for (const char *const *const *v = cis_pg_schema_steps; *v != NULL; v++) {
        for (const char *const *step = *v; *step != NULL; step++) {
            struct function f = {.seen = false};
            if (function_of(*step, &f)) {
                cis_buf_add(functions, &f, sizeof f);
            }
            *out_triggers += cis_str_starts(cis_str_of(*step), CIS_STR("CREATE TRIGGER "));
        }
    }
    return cis_buf_check(functions, "store check", err);
}

static struct function *find(const struct cis_buf *functions, struct cis_str name)
{
    struct function *all = (struct function *)(void *)functions->ptr;
    for (size_t i = 0; i < functions->len / sizeof *all; i++) {
        if (cis_str_eq(all[i].name, name)) {
            return &all[i];
        }
    }
    return NULL;
}

static void tell(struct cis_buf *out, struct cis_str name, const char *what)
{
    cis_buf_byte(out, ' ');
    cis_buf_str(out, name);
    cis_buf_printf(out, " (%s)", what);
}

cis_code cis_pg_functions_check(struct pg_conn *conn, struct cis_buf *out_bad,
                                struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf functions = CIS_BUF_INIT(65536);
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL, *triggers = NULL;
    size_t wanted = 0, good = 0;
    CIS_TRY(collect(&functions, &wanted, err));
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_FUNCTIONS, NULL, &res, err));
    for (int i = 0; i < PQntuples(res); i++) {
        struct cis_str name = cis_pg_str(res, i, 0);
        struct function *f = find(&functions, name);
        if (f == NULL || f->seen) {
            tell(out_bad, name, "not of cis");
            continue;
        }
        f->seen = true;
        if (!cis_str_eq(cis_pg_str(res, i, 1), f->body)) {
            tell(out_bad, name, "another body");
        } else if ((cis_pg_int(res, i, 2) != 0) != f->definer) {
            tell(out_bad, name, "runs as somebody else");
        } else if (!cis_str_is(cis_pg_str(res, i, 3), "search_path=" PG_SEARCH_PATH)) {
            tell(out_bad, name, "no fixed search path");
        } else if (cis_pg_int(res, i, 4) == 0) {
            tell(out_bad, name, "not owned by cis_owner");
        } else if (cis_pg_int(res, i, 5) != 0) {
            tell(out_bad, name, "everybody may call it");
        }
    }
    const struct function *all = (const struct function *)(const void *)functions.ptr;
    for (size_t i = 0; i < functions.len / sizeof *all; i++) {
        if (!all[i].seen) {
            tell(out_bad, all[i].name, "missing");
        }
    }
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_TRIGGERS, NULL, &triggers, err));
    for (int i = 0; i < PQntuples(triggers); i++) {
        if (cis_pg_int(triggers, i, 1) == 0) {
            tell(out_bad, cis_pg_str(triggers, i, 0), "trigger that is off or not of cis");
        }
        good += cis_pg_int(triggers, i, 1) != 0;
    }
    if (good != wanted) {
        tell(out_bad, CIS_STR("triggers"),
             good < wanted ? "some are missing" : "more than cis makes");
    }
    return cis_buf_check(out_bad, "store check", err);
}
