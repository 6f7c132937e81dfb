/* wasi:cli, wasi:clocks, wasi:random: what a program is told of its surroundings. */
#include "base/clock.h"
#include "wasi/p2/internal.h"

#define BYTES_A_FUEL 64u
#define RANDOM_MAX                                                                                 \
    ((uint64_t)64 << 20) /* bytes of one call; more ends the run with the limit named */

/* ---- arguments and environment ---- */

static cis_code texts(cis_engine_instance *instance, const char *const *list, const char *what,
                      bool pairs, struct cis_answer *out, struct cis_error *err)
{
    struct cis_pair *items;
    size_t n = 0;
    while (list != NULL && list[n] != NULL) {
        n++;
    }
    CIS_TRY(cis_p2_pairs(instance, n, &items, err));
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]);
        if (!cis_utf8_valid(list[i], len)) {
            return cis_fail(err, CIS_E_INVALID, "%s %zu is not UTF-8, which components require",
                            what, i);
        }
        const char *split = pairs ? strchr(list[i], '=') : NULL;
        size_t key = split != NULL ? (size_t)(split - list[i]) : len;
        items[i].first = cis_bytes_of(list[i], key);
        items[i].second =
            split != NULL ? cis_bytes_of(split + 1, len - key - 1) : cis_bytes_of("", 0);
    }
    out->items = items;
    out->nitems = n;
    return CIS_OK;
}

cis_code cis_p2_environment(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    return texts(instance, cis_host_of(instance)->env, "variable", true, out, err);
}

cis_code cis_p2_arguments(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    return texts(instance, cis_host_of(instance)->args, "argument", false, out, err);
}

cis_code cis_p2_initial_cwd(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    (void)instance, (void)args, (void)out, (void)err; /* none: a program has no place of its own */
    return CIS_OK;
}

cis_code cis_p2_exit(cis_engine_instance *instance, const struct cis_typed *args,
                     struct cis_answer *out, struct cis_error *err)
{
    (void)out;
    return cis_engine_instance_exit(instance, args[0].n != 0, err);
}

cis_code cis_p2_exit_code(cis_engine_instance *instance, const struct cis_typed *args,
                          struct cis_answer *out, struct cis_error *err)
{
    (void)out;
    return cis_engine_instance_exit(instance, (int32_t)args[0].n, err);
}

/* ---- standard streams ---- */

static cis_code std(cis_engine_instance *instance, uint8_t number, struct cis_answer *out,
                    struct cis_error *err)
{
    struct p2_thing *thing;
    CIS_TRY(
        cis_p2_give(instance, number == 0 ? P2_INPUT : P2_OUTPUT, P2_NO_PARENT, out, &thing, err));
    thing->std = (uint8_t)(number + 1);
    return CIS_OK;
}

static cis_code terminal(cis_engine_instance *instance, uint8_t number, struct cis_answer *out,
                         struct cis_error *err)
{
    const struct cis_host_stream *s = &cis_host_of(instance)->wasi_env.std[number];
    struct p2_thing *thing;
    out->has = s->kind == CIS_STREAM_FD && s->terminal;
    return out->has ? cis_p2_give(instance, number == 0 ? P2_TERMINAL_IN : P2_TERMINAL_OUT,
                                  P2_NO_PARENT, out, &thing, err)
                    : CIS_OK;
}

#define STD(name, verb, number)                                                                    \
    cis_code name(cis_engine_instance *instance, const struct cis_typed *args,                     \
                  struct cis_answer *out, struct cis_error *err)                                   \
    {                                                                                              \
        (void)args;                                                                                \
        return verb(instance, number, out, err);                                                   \
    }
STD(cis_p2_stdin, std, 0)
STD(cis_p2_stdout, std, 1)
STD(cis_p2_stderr, std, 2)
STD(cis_p2_terminal_stdin, terminal, 0)
STD(cis_p2_terminal_stdout, terminal, 1)
STD(cis_p2_terminal_stderr, terminal, 2)

/* ---- clocks ---- */

cis_code cis_p2_mono_now(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    (void)args, (void)err;
    out->n[0] = cis_host_monotonic(instance);
    return CIS_OK;
}

cis_code cis_p2_mono_resolution(cis_engine_instance *instance, const struct cis_typed *args,
                                struct cis_answer *out, struct cis_error *err)
{
    (void)instance, (void)args, (void)err;
    out->n[0] = 1;
    return CIS_OK;
}

cis_code cis_p2_wall_now(cis_engine_instance *instance, const struct cis_typed *args,
                         struct cis_answer *out, struct cis_error *err)
{
    (void)args, (void)err;
    uint64_t now = cis_host_realtime(instance);
    out->n[0] = now / CIS_NS_PER_S;
    out->n[1] = now % CIS_NS_PER_S;
    return CIS_OK;
}

cis_code cis_p2_wall_resolution(cis_engine_instance *instance, const struct cis_typed *args,
                                struct cis_answer *out, struct cis_error *err)
{
    (void)instance, (void)args, (void)err;
    out->n[1] = 1;
    return CIS_OK;
}

/* ---- random bytes ---- */

cis_code cis_p2_random_bytes(cis_engine_instance *instance, const struct cis_typed *args,
                             struct cis_answer *out, struct cis_error *err)
{
    uint8_t *at;
    if (args[0].n > RANDOM_MAX) {
        return cis_engine_instance_limit(instance, CIS_E_BUDGET, "random-bytes", RANDOM_MAX,
                                         args[0].n, err);
    }
    size_t len = (size_t)args[0].n;
    CIS_TRY(cis_engine_instance_burn(instance, len / BYTES_A_FUEL, err));
    CIS_TRY(cis_p2_scratch(instance, len, &at, err));
    CIS_TRY(cis_host_random(instance, at, len, err));
    out->bytes = cis_bytes_of(at, len);
    return CIS_OK;
}

cis_code cis_p2_random_u64(cis_engine_instance *instance, const struct cis_typed *args,
                           struct cis_answer *out, struct cis_error *err)
{
    (void)args;
    return cis_host_random(instance, &out->n[0], sizeof out->n[0], err);
}

/* The interface: it is to be the same whenever it is called by one instance. */
cis_code cis_p2_random_seed(cis_engine_instance *instance, const struct cis_typed *args,
                            struct cis_answer *out, struct cis_error *err)
{
    struct cis_wasi_p2 *t = NULL;
    (void)args;
    CIS_TRY(cis_p2_of(instance, &t, err));
    if (!t->seeded) {
        CIS_TRY(cis_host_random(instance, t->seed, sizeof t->seed, err));
        t->seeded = true;
    }
    out->n[0] = t->seed[0];
    out->n[1] = t->seed[1];
    return CIS_OK;
}
