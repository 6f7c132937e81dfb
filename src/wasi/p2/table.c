/* What handles name: entries of a table, their making and dropping, and which row serves which
 * function. */
#include <errno.h>
#include <poll.h>
#include "base/mem.h"
#include "wasi/p2/http.h"

#define ENTRY_BYTES 512u /* what one entry is taken to cost the host beside its place */
#define FIRST 64u

cis_code cis_p2_of(cis_engine_instance *instance, struct cis_wasi_p2 **out, struct cis_error *err)
{
    struct cis_host *host = cis_host_of(instance);
    if (host->wasi_p2 == NULL) {
        host->wasi_p2 = cis_zalloc(sizeof *host->wasi_p2);
        if (host->wasi_p2 == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "WASI: out of memory");
        }
        host->wasi_p2->budget = &host->budget;
    }
    *out = host->wasi_p2;
    return CIS_OK;
}

bool cis_p2_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep)
{
    const struct cis_wasi_p2 *t = cis_host_of(instance)->wasi_p2;
    return t != NULL && rep != 0 && rep < t->n && t->at[rep].kind == kind;
}

struct p2_thing *cis_p2_at(cis_engine_instance *instance, uint64_t rep)
{
    return &cis_host_of(instance)->wasi_p2->at[rep];
}

static cis_code charge(cis_engine_instance *instance, struct cis_wasi_p2 *t, uint64_t bytes,
                       struct cis_error *err)
{
    struct cis_budget *budget = cis_engine_instance_budget(instance);
    struct cis_error why;
    if (cis_budget_charge(budget, bytes, "WASI resources", &why) != CIS_OK) {
        return cis_engine_instance_limit(instance, CIS_E_BUDGET, "host-bytes", budget->limit,
                                         budget->used + bytes, err);
    }
    t->charged += bytes;
    return CIS_OK;
}

cis_code cis_p2_charge(cis_engine_instance *instance, uint64_t bytes, struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    return charge(instance, t, bytes, err);
}

static cis_code grow(cis_engine_instance *instance, struct cis_wasi_p2 *t, struct cis_error *err)
{
    size_t cap = cis_cap_next(t->cap, FIRST, UINT32_MAX);
    CIS_TRY(charge(instance, t, cis_size_mul(cap - t->cap, sizeof *t->at), err));
    struct p2_thing *at = cis_realloc_array(t->at, cap, sizeof *at);
    if (at == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "WASI resources: out of memory");
    }
    t->at = at;
    t->cap = (uint32_t)cap;
    t->n = t->n != 0 ? t->n : 1;
    return CIS_OK;
}

/* Each handle that a guest keeps is one here: whoever forgets them meets the run's limit, whatever
 * memory they take. */
static cis_code count(cis_engine_instance *instance, const struct cis_wasi_p2 *t,
                      struct cis_error *err)
{
    uint64_t most = cis_engine_instance_handles_max(instance),
             asked = cis_host_of(instance)->wasi_env.handles_max;
    uint64_t max = asked != 0 && asked < most ? asked : most;
    return t->live < max ? CIS_OK
                         : cis_engine_instance_limit(instance, CIS_E_LIMIT, "handles", max,
                                                     (uint64_t)t->live + 1, err);
}

cis_code cis_p2_new(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                    uint32_t *out_rep, struct p2_thing **out, struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    CIS_TRY(count(instance, t, err));
    if (t->free == 0 && t->n == t->cap) {
        CIS_TRY(grow(instance, t, err));
    }
    CIS_TRY(charge(instance, t, ENTRY_BYTES, err));
    uint32_t rep = t->free != 0 ? t->free : t->n++;
    t->free = t->free != 0 ? t->at[rep].next_free : 0;
    t->live++;
    t->at[rep] = (struct p2_thing){.kind = (uint8_t)kind, .parent = (uint32_t)parent};
    t->at[parent].children += parent != P2_NO_PARENT;
    *out_rep = rep;
    *out = &t->at[rep];
    return CIS_OK;
}

cis_code cis_p2_give(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                     struct cis_answer *answer, struct p2_thing **out, struct cis_error *err)
{
    answer->kind = kind;
    return cis_p2_new(instance, kind, parent, &answer->rep, out, err);
}

void cis_p2_file_unref(struct p2_file *f)
{
    if (f == NULL || --f->refs != 0) {
        return;
    }
    cis_vfs_file_close(f->file);
    if (!f->dir_borrowed) {
        cis_dir_free(f->dir);
    }
    if (f->counted != NULL) {
        f->counted->nfiles--;
        f->counted->charged -= f->charged;
        cis_budget_release(f->counted->budget, f->charged);
    }
    cis_free(f);
}

int cis_p2_file_charge(struct p2_file *file, const struct p2_file *base)
{
    uint64_t bytes = file->dir != NULL ? cis_dir_bytes(file->dir, base->dir) : 0;
    if (cis_budget_charge(file->counted->budget, bytes, "directories", NULL) != CIS_OK) {
        return ENOMEM;
    }
    file->charged = bytes;
    file->counted->charged += bytes;
    return 0;
}

bool cis_p2_room(cis_engine_instance *instance)
{
    const struct cis_host *host = cis_host_of(instance);
    uint32_t max = host->wasi_env.files_max != 0 ? host->wasi_env.files_max : CIS_WORLD_FILES_MAX;
    return host->wasi_p2->nfiles < max;
}

static void leave_source(struct cis_host *host, struct p2_thing *thing)
{
    struct p2_source *source = thing->source;
    bool reads = thing->kind == P2_INPUT || thing->kind == P2_UDP_IN;
    bool writes = thing->kind == P2_OUTPUT || thing->kind == P2_UDP_OUT;
    bool state = thing->kind == P2_TCP || thing->kind == P2_UDP || thing->kind == P2_LOOKUP;
    thing->source = NULL;
    if ((reads || writes || state) && source->ops->close != NULL) {
        source->ops->close(host, source, reads ? P2_READS : writes ? P2_WRITES : P2_STATE);
    }
    cis_p2_source_unref(host, source);
}

static void let_go(struct cis_host *host, struct p2_thing *thing)
{
    struct cis_wasi_p2 *t = host->wasi_p2;
    if (thing->kind >= P2_FIELDS) {
        cis_p2_http_let_go(host, thing);
    }
    if (thing->source != NULL) {
        leave_source(host, thing);
    } else if (thing->kind == P2_DIR_STREAM) {
        cis_p2_listing_free(t, thing->listing);
    } else if (thing->kind == P2_DESCRIPTOR ||
               ((thing->kind == P2_INPUT || thing->kind == P2_OUTPUT) && thing->std == 0)) {
        cis_p2_file_unref(thing->file);
    }
    thing->kind = P2_FREE;
}

cis_code cis_p2_alone(cis_engine_instance *instance, uint32_t rep, struct cis_error *err)
{
    const struct p2_thing *thing = cis_p2_at(instance, rep);
    return thing->children == 0 ? CIS_OK
                                : cis_fail(err, CIS_E_TRAP,
                                           "WASI: the guest dropped, gave away or finished %s "
                                           "before %u that %s made of it",
                                           cis_p2_kind_name(thing->kind), thing->children,
                                           thing->children == 1 ? "was" : "were");
}

cis_code cis_p2_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err)
{
    struct cis_wasi_p2 *t = cis_host_of(instance)->wasi_p2;
    CIS_TRY(cis_p2_alone(instance, rep, err));
    let_go(cis_host_of(instance), &t->at[rep]);
    t->at[t->at[rep].parent].children -= t->at[rep].parent != P2_NO_PARENT;
    t->at[rep].next_free = t->free;
    t->free = rep;
    t->live--;
    t->charged -= ENTRY_BYTES;
    cis_budget_release(cis_engine_instance_budget(instance), ENTRY_BYTES);
    return CIS_OK;
}

void cis_wasi_p2_end(struct cis_host *host)
{
    struct cis_wasi_p2 *t = host->wasi_p2;
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 1; i < t->n; i++) {
        if (t->at[i].kind != P2_FREE) {
            let_go(host, &t->at[i]);
        }
    }
    cis_p2_sources_end(host);
    cis_budget_release(&host->budget, t->charged);
    cis_free(t->at);
    cis_free(t->scratch);
    cis_free(t->pairs);
    cis_free(t->numbers);
    cis_free(t->fds);
    cis_free(t);
    host->wasi_p2 = NULL;
}

/* ---- buffers of answers: they only grow ---- */

static cis_code room(cis_engine_instance *instance, void **ptr, size_t *have, size_t want,
                     size_t size, struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    if (want <= *have) {
        return CIS_OK;
    }
    CIS_TRY(cis_p2_of(instance, &t, err));
    CIS_TRY(charge(instance, t, cis_size_mul(want - *have, size), err));
    void *more = cis_realloc_array(*ptr, want, size);
    if (more == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "WASI: out of memory");
    }
    *ptr = more;
    *have = want;
    return CIS_OK;
}

cis_code cis_p2_scratch(cis_engine_instance *instance, size_t len, uint8_t **out,
                        struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    void *ptr = t->scratch;
    CIS_TRY(room(instance, &ptr, &t->scratch_len, len > P2_CHUNK ? len : P2_CHUNK, 1, err));
    t->scratch = ptr;
    *out = t->scratch;
    return CIS_OK;
}

cis_code cis_p2_pairs(cis_engine_instance *instance, size_t n, struct cis_pair **out,
                      struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    void *ptr = t->pairs;
    CIS_TRY(room(instance, &ptr, &t->npairs, n, sizeof **out, err));
    t->pairs = ptr;
    *out = t->pairs;
    return CIS_OK;
}

cis_code cis_p2_numbers(cis_engine_instance *instance, size_t n, uint32_t **out,
                        struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    void *ptr = t->numbers;
    CIS_TRY(room(instance, &ptr, &t->nnumbers, n, sizeof **out, err));
    t->numbers = ptr;
    *out = t->numbers;
    return CIS_OK;
}

cis_code cis_p2_fds(cis_engine_instance *instance, size_t n, struct pollfd **out,
                    struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    CIS_TRY(cis_p2_of(instance, &t, err));
    void *ptr = t->fds;
    CIS_TRY(room(instance, &ptr, &t->nfds, n, sizeof **out, err));
    t->fds = ptr;
    *out = t->fds;
    return CIS_OK;
}
