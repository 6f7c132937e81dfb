/* References to sources, and the list of those that have something under way. */
#include "wasi/p2/source.h"

static void unlink_busy(struct cis_host *host, struct p2_source *source)
{
    struct p2_source **at = &host->wasi_p2->busy;
    while (*at != source) {
        at = &(*at)->busy_next;
    }
    *at = source->busy_next;
    source->busy_next = NULL;
    source->busy = false;
    host->wasi_p2->nbusy--;
}

void cis_p2_source_busy(cis_engine_instance *instance, struct p2_source *source, bool busy)
{
    struct cis_host *host = cis_host_of(instance);
    if (busy == source->busy) {
        return;
    }
    if (!busy) {
        unlink_busy(host, source);
        cis_p2_source_unref(host, source);
        return;
    }
    source->busy_next = host->wasi_p2->busy;
    host->wasi_p2->busy = p2_source_ref(source);
    host->wasi_p2->nbusy++;
    source->busy = true;
}

void cis_p2_source_unref(struct cis_host *host, struct p2_source *source)
{
    if (source == NULL) {
        return;
    }
    source->refs--;
    if (source->refs == 1 && source->busy && source->ops->ends_alone) {
        unlink_busy(host, source);
        source->refs = 0;
    }
    if (source->refs == 0) {
        source->ops->free(host, source);
    }
}

void cis_p2_sources_end(struct cis_host *host)
{
    while (host->wasi_p2->busy != NULL) {
        struct p2_source *source = host->wasi_p2->busy;
        unlink_busy(host, source);
        cis_p2_source_unref(host, source);
    }
}

cis_code cis_p2_new_over(cis_engine_instance *instance, enum p2_kind kind, uint64_t parent,
                         struct p2_source *source, enum p2_way way, uint32_t *out_rep,
                         struct cis_error *err)
{
    struct p2_thing *thing;
    CIS_TRY(cis_p2_new(instance, kind, parent, out_rep, &thing, err));
    thing->source = p2_source_ref(source);
    if (kind == P2_POLLABLE) {
        thing->poll.way = (uint8_t)way;
    }
    return CIS_OK;
}

cis_code cis_p2_give_pollable(cis_engine_instance *instance, uint64_t of, enum p2_way way,
                              struct cis_answer *answer, struct cis_error *err)
{
    answer->kind = P2_POLLABLE;
    return cis_p2_new_over(instance, P2_POLLABLE, of, cis_p2_at(instance, of)->source, way,
                           &answer->rep, err);
}
