/* Versions of interfaces: which of them serves a guest that asks for another. */
#include "engine/component/component.h"

struct cis_str cis_iface_version(struct cis_str interface, struct cis_str *out_version)
{
    struct cis_str head;
    *out_version = interface;
    cis_str_split(out_version, '@', &head);
    return head;
}

/* Three numbers, as far as a release version goes. */
static bool numbers(struct cis_str text, uint64_t out[3])
{
    struct cis_str part;
    for (int i = 0; i < 3; i++) {
        bool more = cis_str_split(&text, '.', &part);
        if (more != (i < 2) || !cis_str_u64(part, &out[i])) {
            return false;
        }
    }
    return true;
}

bool cis_iface_fits(struct cis_str wanted, struct cis_str have)
{
    uint64_t w[3], h[3];
    if (!numbers(wanted, w) || !numbers(have, h)) {
        return cis_str_eq(wanted, have);
    }
    return w[0] == h[0] && (h[0] != 0 || (w[1] == h[1] && (h[1] != 0 || w[2] == h[2])));
}
