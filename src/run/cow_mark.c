/* Where a run was applied, in the run's own row: gc and `cis fs drop` remove the record of an apply
 * (cow_keep.c), and whoever takes the run back has to know all the same that a folder has its
 * changes. The row has an array (store/store.h cis_run_report_applied) with an object for each
 * apply: "record", "mount", "folder", "time_ms", "outward", "undone". */
#include <inttypes.h>
#include <jansson.h>
#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "run/cow_internal.h"
#include "store/calls.h"

#define TRIES 100 /* of changing a row that others change */

struct row {
    struct cis_buf report;
    cis_code code;
    struct cis_error *err;
};

static void row_done(struct row *row)
{
    cis_buf_done(&row->report);
}

static bool take_row(void *self, const struct cis_run_row *run)
{
    struct row *row = self;
    cis_buf_reset(&row->report);
    cis_buf_str(&row->report, run->report);
    row->code = cis_buf_check(&row->report, "record of a run", row->err);
    return false;
}

/* CIS_E_NOTFOUND: the row is gone, or there never was one. */
static cis_code row_load(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                         const struct cis_stop *stop, struct row *row, struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(fs_cache);
    row->err = err;
    if (!cis_run_id_valid(cis_str_of(run))) {
        return cis_fail(err, CIS_E_NOTFOUND, "run %.40s: no such run", run);
    }
    CIS_TRY(
        cis_store_run_get(store, cis_str_of(tenant), cis_str_of(run), take_row, row, stop, err));
    return row->code;
}

/* *out is a new array: empty when there is none. */
static cis_code parse(struct cis_str report, const char *run, json_t **out, struct cis_error *err)
{
    struct cis_str text = cis_run_report_applied(report);
    json_t *array = text.len != 0 ? json_loadb(text.ptr, text.len, 0, NULL) : json_array();
    if (!json_is_array(array)) {
        json_decref(array);
        return cis_fail(err, text.len != 0 ? CIS_E_DAMAGED : CIS_E_NOMEM,
                        "run %s: where it was applied cannot be read", run);
    }
    *out = array;
    return CIS_OK;
}

static int collect(const char *text, size_t len, void *self)
{
    cis_buf_add(self, text, len);
    return ((struct cis_buf *)self)->failed == CIS_OK ? 0 : -1;
}

static cis_code put(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                    const struct row *row, const json_t *array, const struct cis_stop *stop,
                    struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(fs_cache);
    CIS_CLEANUP(cis_buf_done) struct cis_buf now = CIS_BUF_INIT(CIS_STORE_REPORT_MAX);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_STORE_REPORT_MAX);
    if (json_dump_callback(array, collect, &text, JSON_COMPACT) != 0) {
        CIS_TRY(cis_buf_check(&text, "record of a run, with where it was applied", err));
        return cow_no_memory(err);
    }
    cis_run_report_set_applied(cis_buf_view(&row->report), cis_buf_view(&text), &now);
    CIS_TRY(cis_buf_check(&now, "record of a run, with where it was applied", err));
    return cis_store_run_report(store, cis_str_of(tenant), cis_str_of(run),
                                cis_buf_view(&row->report), cis_buf_view(&now), stop, err);
}

static const char *text_of(const json_t *mark, const char *name)
{
    const char *text = json_string_value(json_object_get(mark, name));
    return text != NULL ? text : "";
}

static json_t *mark_of(const json_t *array, const char *record)
{
    json_t *mark;
    size_t i;
    json_array_foreach(array, i, mark)
    {
        if (strcmp(text_of(mark, "record"), record) == 0) {
            return mark;
        }
    }
    return NULL;
}

/* "add" it, or NULL: that one of `record` is undone. */
static cis_code change(json_t *array, const char *record, const json_t *add, bool *out_any,
                       struct cis_error *err)
{
    json_t *mark = mark_of(array, record);
    json_t *copy = add != NULL ? json_copy((json_t *)(uintptr_t)add) : NULL;
    *out_any = add != NULL || (mark != NULL && !json_is_true(json_object_get(mark, "undone")));
    if (!*out_any) {
        return CIS_OK;
    }
    int rc = add != NULL ? json_array_append_new(array, copy)
                         : json_object_set_new(mark, "undone", json_true());
    return rc == 0 ? CIS_OK : cow_no_memory(err);
}

static cis_code edit(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                     const char *record, const json_t *add, const struct cis_stop *stop,
                     struct cis_error *err)
{
    cis_code code = CIS_E_CONFLICT;
    for (int n = 0; code == CIS_E_CONFLICT && n < TRIES; n++) {
        CIS_CLEANUP(row_done) struct row row = {.report = CIS_BUF_INIT(CIS_STORE_REPORT_MAX)};
        json_t *array = NULL;
        bool any = false;
        struct cis_error why;
        code = row_load(fs_cache, tenant, run, stop, &row, &why);
        if (code == CIS_E_NOTFOUND) {
            return CIS_OK; /* nobody takes back a run that has no row */
        }
        code = code == CIS_OK ? parse(cis_buf_view(&row.report), run, &array, &why) : code;
        code = code == CIS_OK ? change(array, record, add, &any, &why) : code;
        code = code == CIS_OK && any ? put(fs_cache, tenant, run, &row, array, stop, &why) : code;
        json_decref(array);
        if (code != CIS_OK && (code != CIS_E_CONFLICT || n == TRIES - 1)) {
            return cis_fail(err, code, "cannot record where the run is applied: %.180s", why.msg);
        }
    }
    return code;
}

cis_code cis_cow_mark_applied(const struct cow_plan *p, struct cis_error *err)
{
    cis_store *store = cis_fs_cache_store(p->cow->fs_cache);
    struct cis_fs_ref ref;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    CIS_TRY(cis_store_ref_get(store, cis_str_of(p->cow->tenant), cis_str_of(p->record), &ref,
                              &p->cow->stop, err));
    cis_json_object(&text,
                    CIS_JSON(CIS_J("record", p->record), CIS_J("mount", p->how->guest_path),
                             CIS_J("folder", p->cow->folder), CIS_J("time_ms", ref.created_ms),
                             CIS_J("outward", p->how->outward), CIS_J_BOOL("undone", false)));
    CIS_TRY(cis_buf_check(&text, "record of a run", err));
    json_t *mark = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    if (mark == NULL) {
        return cow_no_memory(err);
    }
    cis_code code =
        edit(p->cow->fs_cache, p->cow->tenant, p->how->run, p->record, mark, &p->cow->stop, err);
    json_decref(mark);
    return code;
}

cis_code cis_cow_mark_undone(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                             const char *record, struct cis_error *err)
{
    struct cis_stop soon = {cis_clock_after(cis_clock_mono_ns(), 10 * CIS_NS_PER_S), NULL};
    return edit(fs_cache, tenant, run, record, NULL, &soon, err);
}

cis_code cis_cow_marks_load(cis_fs_cache *fs_cache, const char *tenant, const char *run,
                            const struct cis_stop *stop, struct cow_marks *out,
                            struct cis_error *err)
{
    CIS_CLEANUP(row_done) struct row row = {.report = CIS_BUF_INIT(CIS_STORE_REPORT_MAX + 64)};
    struct cis_error why;
    cis_code code = row_load(fs_cache, tenant, run, stop, &row, &why);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    if (code != CIS_OK) {
        return cis_fail(err, code, "%s", why.msg);
    }
    json_t *array = NULL;
    CIS_TRY(parse(cis_buf_view(&row.report), run, &array, err));
    out->array = array;
    return CIS_OK;
}

void cis_cow_marks_done(struct cow_marks *marks)
{
    json_decref(marks->array);
}

size_t cis_cow_marks_n(const struct cow_marks *marks)
{
    return json_array_size(marks->array);
}

static struct cis_cow_applied applied_of(const json_t *mark)
{
    struct cis_cow_applied a = {.guest_path = (char *)(uintptr_t)text_of(mark, "mount"),
                                .folder = (char *)(uintptr_t)text_of(mark, "folder"),
                                .made_ms = json_integer_value(json_object_get(mark, "time_ms")),
                                .undone = json_is_true(json_object_get(mark, "undone")),
                                .outward = json_is_true(json_object_get(mark, "outward"))};
    snprintf(a.ref, sizeof a.ref, "%s", text_of(mark, "record"));
    return a;
}

struct cis_cow_applied cis_cow_marks_at(const struct cow_marks *marks, size_t i)
{
    return applied_of(json_array_get(marks->array, i));
}

struct cis_cow_applied cis_cow_marks_of(const struct cow_marks *marks, const char *record)
{
    struct cis_cow_applied a = applied_of(mark_of(marks->array, record));
    snprintf(a.ref, sizeof a.ref, "%s", record);
    return a;
}
