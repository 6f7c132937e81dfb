/* What WASI 0.2 counts as unstable: there for runs that ask for it by the feature's name. */
#include "wasi/p2/internal.h"

static const struct {
    const char *name, *off; /* off: for the message that an import is not there */
    const char *interface, *function;
} features[] = {
    {"clocks-timezone", " (unstable: --wasi clocks-timezone)", "wasi:clocks/timezone", NULL},
    {"network-error-code", " (unstable: --wasi network-error-code)", "wasi:sockets/network",
     "network-error-code"},
};
#define N (sizeof features / sizeof *features)
_Static_assert((1u << N) - 1 == CIS_WASI_ALL, "a bit for each, in their order");

const char *cis_wasi_p2_off(uint32_t on, struct cis_str interface, struct cis_str name)
{
    if (!cis_p2_served(&interface)) {
        return NULL;
    }
    for (size_t i = 0; i < N; i++) {
        if ((on & (1u << i)) == 0 && cis_str_is(interface, features[i].interface) &&
            (features[i].function == NULL || cis_str_is(name, features[i].function))) {
            return features[i].off;
        }
    }
    return NULL;
}

cis_code cis_wasi_p2_features(const char *list, uint32_t *inout_on, struct cis_error *err)
{
    struct cis_str rest = cis_str_of(list != NULL ? list : ""), name;
    while (rest.len != 0) {
        (void)cis_str_split(&rest, ',', &name); /* the last one is all of the rest */
        size_t i = 0;
        if (cis_str_is(name, "cli-exit-with-code")) {
            continue; /* as other hosts name it; here it is always on */
        }
        while (i < N && !cis_str_is(name, features[i].name)) {
            i++;
        }
        if (i == N) {
            return cis_fail(err, CIS_E_USAGE,
                            "%.*s: not an unstable feature of WASI 0.2; these are %s, %s "
                            "(cli-exit-with-code is always on)",
                            name.len > 60 ? 60 : (int)name.len, name.ptr, features[0].name,
                            features[1].name);
        }
        *inout_on |= 1u << i;
    }
    return CIS_OK;
}
