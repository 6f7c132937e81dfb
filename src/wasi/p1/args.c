/* Arguments and environment: two lists of strings, laid out as C expects them. */
#include "wasi/p1/internal.h"

static bool measure(const char *const *list, uint32_t *out_count, uint32_t *out_bytes)
{
    uint64_t count = 0, bytes = 0;
    for (; list != NULL && list[count] != NULL; count++) {
        bytes += strlen(list[count]) + 1;
    }
    *out_count = (uint32_t)count;
    *out_bytes = (uint32_t)bytes;
    return count <= UINT32_MAX / 4 && bytes <= UINT32_MAX;
}

static cis_code sizes(cis_engine_instance *instance, union cis_slot *io, const char *const *list)
{
    uint32_t count, bytes;
    if (!measure(list, &count, &bytes)) {
        return cis_wasi_answer(io, CIS_WASI_OVERFLOW);
    }
    if (!cis_engine_instance_holds(instance, io[0].u32, 4) ||
        !cis_engine_instance_holds(instance, io[1].u32, 4)) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    cis_wasi_put32(instance, io[0].u32, count);
    cis_wasi_put32(instance, io[1].u32, bytes);
    return cis_wasi_answer(io, CIS_WASI_OK);
}

static cis_code copy(cis_engine_instance *instance, union cis_slot *io, const char *const *list,
                     struct cis_error *err)
{
    uint32_t count, bytes, text_at = io[1].u32;
    if (!measure(list, &count, &bytes)) {
        return cis_wasi_answer(io, CIS_WASI_OVERFLOW);
    }
    uint8_t *pointers = cis_engine_instance_out(instance, io[0].u32, 4ull * count);
    uint8_t *text = cis_engine_instance_out(instance, text_at, bytes);
    if (pointers == NULL || text == NULL) {
        return cis_wasi_answer(io, CIS_WASI_FAULT);
    }
    CIS_TRY(cis_engine_instance_burn(instance, bytes / CIS_WASI_BYTES_A_FUEL, err));
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t len = strlen(list[i]) + 1;
        cis_put_le32(pointers + 4ull * i, text_at + used);
        memcpy(text + used, list[i], len);
        used += (uint32_t)len;
    }
    return cis_wasi_answer(io, CIS_WASI_OK);
}

/* A program may look at its own name without asking whether it has one. */
static const char *const *args_of(cis_engine_instance *instance)
{
    static const char *const nameless[] = {"skill", NULL};
    const struct cis_host *host = cis_host_of(instance);
    return host->args != NULL ? host->args : nameless;
}

cis_code cis_wasi_args_sizes_get(cis_engine_instance *instance, union cis_slot *io,
                                 struct cis_error *err)
{
    (void)err;
    return sizes(instance, io, args_of(instance));
}

cis_code cis_wasi_args_get(cis_engine_instance *instance, union cis_slot *io, struct cis_error *err)
{
    return copy(instance, io, args_of(instance), err);
}

cis_code cis_wasi_environ_sizes_get(cis_engine_instance *instance, union cis_slot *io,
                                    struct cis_error *err)
{
    (void)err;
    return sizes(instance, io, cis_host_of(instance)->env);
}

cis_code cis_wasi_environ_get(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    return copy(instance, io, cis_host_of(instance)->env, err);
}
