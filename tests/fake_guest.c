#include "fake_guest.h"

#include "engine/component/component.h"

#include "base/clock.h"
#include "base/mem.h"

void fake_guest_init(cis_engine_instance *guest, struct cis_host *host, uint64_t memory_bytes)
{
    *guest = (cis_engine_instance){.memory = cis_zalloc(memory_bytes != 0 ? memory_bytes : 1),
                                   .size = memory_bytes,
                                   .host = host,
                                   .stop = {.deadline_ns = CIS_NEVER}};
    host->call.stop = &guest->stop;
    host->call.deadline_ns = guest->stop.deadline_ns;
}

void fake_guest_done(cis_engine_instance *guest)
{
    cis_free(guest->memory);
}

void *cis_engine_instance_host(const cis_engine_instance *guest)
{
    return guest->host;
}

struct cis_budget *cis_engine_instance_budget(cis_engine_instance *guest)
{
    return &guest->host->budget;
}

const struct cis_stop *cis_engine_instance_stop(const cis_engine_instance *guest)
{
    return &guest->stop;
}

const struct cis_engine_instance_end *cis_engine_instance_end(const cis_engine_instance *guest)
{
    return &guest->end;
}

void cis_engine_instance_usage(cis_engine_instance *guest, struct cis_engine_instance_usage *out)
{
    *out = (struct cis_engine_instance_usage){.cpu_ns = guest->cpu_ns};
}

uint64_t cis_engine_instance_memory_size(cis_engine_instance *guest)
{
    return guest->size;
}

const void *cis_engine_instance_at(cis_engine_instance *guest, uint64_t ptr, uint64_t len)
{
    return cis_engine_instance_out(guest, ptr, len);
}

void *cis_engine_instance_out(cis_engine_instance *guest, uint64_t ptr, uint64_t len)
{
    return ptr <= guest->size && len <= guest->size - ptr ? guest->memory + ptr : NULL;
}

void cis_engine_instance_wrote(cis_engine_instance *guest, uint64_t total)
{
    guest->wrote = total;
}

bool cis_engine_instance_holds(cis_engine_instance *guest, uint64_t ptr, uint64_t len)
{
    return cis_engine_instance_at(guest, ptr, len) != NULL;
}

uint64_t cis_engine_instance_handles_max(const cis_engine_instance *guest)
{
    (void)guest;
    return UINT64_MAX;
}

bool cis_engine_instance_recorded(const cis_engine_instance *guest)
{
    (void)guest;
    return false;
}

void cis_engine_instance_shown(cis_engine_instance *guest, unsigned stream, const void *data,
                               size_t len)
{
    (void)guest;
    (void)stream;
    (void)data;
    (void)len;
}

cis_code cis_engine_instance_span(cis_engine_instance *guest, uint64_t ptr, uint64_t len,
                                  const char *what, const void **out, struct cis_error *err)
{
    const void *at = cis_engine_instance_at(guest, ptr, len);
    if (at == NULL) {
        return cis_fail(err, CIS_E_BADPTR, "%s: outside the memory", what);
    }
    *out = at;
    return CIS_OK;
}

void cis_engine_instance_block(cis_engine_instance *guest)
{
    guest->blocked++;
}

cis_code cis_engine_instance_unblock(cis_engine_instance *guest, struct cis_error *err)
{
    guest->unblocked++;
    return guest->unblock_code == CIS_OK ? CIS_OK
                                         : cis_fail(err, guest->unblock_code, "no slot in time");
}

cis_code cis_engine_instance_exit(cis_engine_instance *guest, int32_t code, struct cis_error *err)
{
    guest->end.exited = true;
    guest->end.exit_code = code;
    guest->end.code = CIS_E_FAILED;
    return cis_fail(err, CIS_E_FAILED, "exit %d", code);
}

cis_code cis_engine_instance_limit(cis_engine_instance *guest, cis_code code, const char *limit,
                                   uint64_t configured, uint64_t reached, struct cis_error *err)
{
    guest->end.code = code;
    guest->end.limit = limit;
    guest->end.configured = configured;
    guest->end.reached = reached;
    return cis_fail(err, code, "%s: limit", limit);
}

void cis_engine_instance_defect(cis_engine_instance *guest, const struct cis_error *error)
{
    guest->end.code = error->code;
    guest->end.error = *error;
}

cis_code cis_engine_instance_burn(cis_engine_instance *guest, uint64_t units, struct cis_error *err)
{
    guest->burned += units;
    return guest->fuel == 0 || guest->burned <= guest->fuel
               ? CIS_OK
               : cis_fail(err, CIS_E_LIMIT, "out of fuel");
}

void cis_engine_instance_refused(cis_engine_instance *guest, unsigned grant)
{
    guest->refused[grant]++;
}
