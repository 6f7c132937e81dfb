#include "fake_guest.h"

#include "engine/component/component.h"

#include "base/clock.h"
#include "base/mem.h"

void fake_guest_init(cis_guest *guest, struct cis_host *host, uint64_t memory_bytes)
{
    *guest = (cis_guest){.memory = cis_zalloc(memory_bytes != 0 ? memory_bytes : 1),
                         .size = memory_bytes,
                         .host = host,
                         .stop = {.deadline_ns = CIS_NEVER}};
    host->call.stop = &guest->stop;
    host->call.deadline_ns = guest->stop.deadline_ns;
}

void fake_guest_done(cis_guest *guest)
{
    cis_free(guest->memory);
}

void *cis_guest_host(const cis_guest *guest)
{
    return guest->host;
}

struct cis_budget *cis_guest_budget(cis_guest *guest)
{
    return &guest->host->budget;
}

const struct cis_stop *cis_guest_stop(const cis_guest *guest)
{
    return &guest->stop;
}

const struct cis_guest_end *cis_guest_end(const cis_guest *guest)
{
    return &guest->end;
}

void cis_guest_usage(cis_guest *guest, struct cis_guest_usage *out)
{
    *out = (struct cis_guest_usage){.cpu_ns = guest->cpu_ns};
}

uint64_t cis_guest_memory_size(cis_guest *guest)
{
    return guest->size;
}

const void *cis_guest_at(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    return cis_guest_out(guest, ptr, len);
}

void *cis_guest_out(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    return ptr <= guest->size && len <= guest->size - ptr ? guest->memory + ptr : NULL;
}

void cis_guest_wrote(cis_guest *guest, uint64_t total)
{
    (void)guest;
    (void)total;
}

bool cis_guest_holds(cis_guest *guest, uint64_t ptr, uint64_t len)
{
    return cis_guest_at(guest, ptr, len) != NULL;
}

uint64_t cis_guest_handles_max(const cis_guest *guest)
{
    (void)guest;
    return UINT64_MAX;
}

bool cis_guest_recorded(const cis_guest *guest)
{
    (void)guest;
    return false;
}

void cis_guest_shown(cis_guest *guest, unsigned stream, const void *data, size_t len)
{
    (void)guest;
    (void)stream;
    (void)data;
    (void)len;
}

cis_code cis_guest_span(cis_guest *guest, uint64_t ptr, uint64_t len, const char *what,
                        const void **out, struct cis_error *err)
{
    const void *at = cis_guest_at(guest, ptr, len);
    if (at == NULL) {
        return cis_fail(err, CIS_E_BADPTR, "%s: outside the memory", what);
    }
    *out = at;
    return CIS_OK;
}

void cis_guest_block(cis_guest *guest)
{
    guest->blocked++;
}

cis_code cis_guest_unblock(cis_guest *guest, struct cis_error *err)
{
    guest->unblocked++;
    return guest->unblock_code == CIS_OK ? CIS_OK
                                         : cis_fail(err, guest->unblock_code, "no slot in time");
}

cis_code cis_guest_exit(cis_guest *guest, int32_t code, struct cis_error *err)
{
    guest->end.exited = true;
    guest->end.exit_code = code;
    guest->end.code = CIS_E_FAILED;
    return cis_fail(err, CIS_E_FAILED, "exit %d", code);
}

cis_code cis_guest_limit(cis_guest *guest, cis_code code, const char *limit, uint64_t configured,
                         uint64_t reached, struct cis_error *err)
{
    guest->end.code = code;
    guest->end.limit = limit;
    guest->end.configured = configured;
    guest->end.reached = reached;
    return cis_fail(err, code, "%s: limit", limit);
}

void cis_guest_defect(cis_guest *guest, const struct cis_error *error)
{
    guest->end.code = error->code;
    guest->end.error = *error;
}

cis_code cis_guest_burn(cis_guest *guest, uint64_t units, struct cis_error *err)
{
    (void)err;
    guest->burned += units;
    return CIS_OK;
}

void cis_guest_refused(cis_guest *guest, unsigned grant)
{
    guest->refused[grant]++;
}
