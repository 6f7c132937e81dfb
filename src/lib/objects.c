/* Objects of an embedder that a guest has handles of: one table a run. Each is dropped once: by the
 * guest, by the function it was handed over to, or at the end of the run. */
#include "base/mem.h"
#include "lib/provider.h"

static struct cis_lib_embedder *of(cis_engine_instance *instance)
{
    return cis_host_of(instance)->embedder;
}

static cis_code grow(cis_engine_instance *instance, struct cis_lib_embedder *e,
                     struct cis_error *err)
{
    size_t cap = cis_cap_next(e->cap, 16, UINT32_MAX);
    if (cap > CIS_LIB_OBJECTS_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u resources at once", e->cap);
    }
    uint64_t more = cis_size_mul(cap - e->cap, sizeof *e->at);
    CIS_TRY(cis_budget_charge(&cis_host_of(instance)->budget, more, "resources", err));
    struct cis_lib_object *at = cis_realloc_array(e->at, cap, sizeof *at);
    if (at == NULL) {
        cis_budget_release(&cis_host_of(instance)->budget, more);
        return cis_fail(err, CIS_E_NOMEM, "resources: out of memory");
    }
    e->at = at;
    e->cap = (uint32_t)cap;
    e->charged += more;
    e->n = e->n != 0 ? e->n : 1;
    return CIS_OK;
}

cis_code cis_lib_object_new(cis_engine_instance *instance, const struct cis_lib_resource *type,
                            void *object, uint32_t *out_rep, struct cis_error *err)
{
    struct cis_lib_embedder *e = of(instance);
    uint32_t rep = e->free;
    if (rep != 0) {
        e->free = e->at[rep].next;
    } else {
        if (e->n == e->cap) {
            CIS_TRY(grow(instance, e, err));
        }
        rep = e->n++;
    }
    e->at[rep] = (struct cis_lib_object){.object = object, .type = type};
    *out_rep = rep;
    return CIS_OK;
}

struct cis_lib_object *cis_lib_object_at(cis_engine_instance *instance, uint32_t rep)
{
    struct cis_lib_embedder *e = of(instance);
    return e != NULL && rep != 0 && rep < e->n && e->at[rep].type != NULL ? &e->at[rep] : NULL;
}

bool cis_lib_object_is(cis_engine_instance *instance, uint32_t kind, uint32_t rep)
{
    const struct cis_lib_object *o = cis_lib_object_at(instance, rep);
    return o != NULL && o->type->row.kind == kind;
}

void cis_lib_object_forget(cis_engine_instance *instance, uint32_t rep)
{
    struct cis_lib_embedder *e = of(instance);
    e->at[rep] = (struct cis_lib_object){.next = e->free};
    e->free = rep;
}

static void drop(const struct cis_lib_resource *type, void *object)
{
    if (type->drop != NULL) {
        type->drop(type->self, object);
    }
}

cis_code cis_lib_object_drop(cis_engine_instance *instance, uint32_t rep, struct cis_error *err)
{
    struct cis_lib_object *o = cis_lib_object_at(instance, rep);
    if (o == NULL) {
        return CIS_OK;
    }
    struct cis_lib_object gone = *o;
    cis_lib_object_forget(instance, rep);
    if (gone.type->drop == NULL) {
        return CIS_OK;
    }
    cis_engine_instance_block(instance); /* as around functions: it may run other guests */
    drop(gone.type, gone.object);
    return cis_engine_instance_unblock(instance, err);
}

void cis_lib_object_given(cis_engine_instance *instance, uint32_t kind, uint32_t rep)
{
    struct cis_lib_embedder *e = of(instance);
    struct cis_lib_object *o = cis_lib_object_at(instance, rep);
    if (o != NULL && kind == o->type->row.kind && !o->given) {
        o->given = true;
        o->next = e->given;
        e->given = rep;
    }
}

void cis_lib_objects_settle(cis_engine_instance *instance)
{
    struct cis_lib_embedder *e = of(instance);
    while (e->given != 0) {
        uint32_t rep = e->given;
        struct cis_lib_object o = e->at[rep];
        e->given = o.next;
        cis_lib_object_forget(instance, rep);
        if (!o.taken) {
            drop(o.type, o.object);
        }
    }
}

void cis_lib_embedder_done(struct cis_lib_embedder *e)
{
    for (uint32_t i = 1; i < e->n; i++) {
        if (e->at[i].type != NULL && !e->at[i].taken) {
            drop(e->at[i].type, e->at[i].object);
        }
    }
    cis_free(e->at);
    *e = (struct cis_lib_embedder){.data = e->data};
}
