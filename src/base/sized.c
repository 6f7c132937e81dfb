/* Sizes of public structs, honoured in both directions. */
#include "base/sized.h"

#include <string.h>

#define NEWER_MAX 4096u /* bytes of a newer struct; more is no size but something else */

static uint32_t size_of(const void *from)
{
    uint32_t size;
    memcpy(&size, from, sizeof size);
    return size;
}

cis_code cis_sized_check(const struct cis_sized *kind, const void *from, struct cis_error *err)
{
    size_t size = size_of(from);
    if (size < kind->first || size > kind->known + NEWER_MAX) {
        return cis_fail(err, CIS_E_USAGE, "%s: size is %zu, not %zu (use %s)", kind->what, size,
                        kind->known, kind->init);
    }
    const uint8_t *bytes = from;
    for (size_t i = kind->known; i < size; i++) {
        if (bytes[i] != 0) {
            return cis_fail(
                err, CIS_E_USAGE,
                "%s: it comes from a newer libcis and sets a field that this libcis does not know",
                kind->what);
        }
    }
    return CIS_OK;
}

cis_code cis_sized_take(const struct cis_sized *kind, const void *from, void *inout,
                        struct cis_error *err)
{
    if (from == NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_sized_check(kind, from, err));
    size_t size = size_of(from);
    memcpy(inout, from, size < kind->known ? size : kind->known);
    uint32_t whole = (uint32_t)kind->known;
    memcpy(inout, &whole, sizeof whole);
    return CIS_OK;
}

void cis_sized_give(const struct cis_sized *kind, const void *whole, void *out)
{
    size_t size = size_of(out), skip = sizeof(uint32_t);
    memcpy((uint8_t *)out + skip, (const uint8_t *)whole + skip,
           (size < kind->known ? size : kind->known) - skip);
}
