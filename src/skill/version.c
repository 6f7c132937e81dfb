/* Which of two semantic versions is older (semver.org 2.0.0, clause 11). The manifest has checked
 * their form. */
#include "skill/package.h"

/* Digits without leading zeros: longer is larger. */
static int compare_numbers(struct cis_str a, struct cis_str b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return a.len == 0 ? 0 : memcmp(a.ptr, b.ptr, a.len);
}

static bool is_number(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

static int compare_identifiers(struct cis_str a, struct cis_str b)
{
    bool na = is_number(a), nb = is_number(b);
    if (na != nb) {
        return na ? -1 : 1;
    }
    if (na) {
        return compare_numbers(a, b);
    }
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Lists that are separated by dots; fewer of the same are less. */
static int compare_lists(struct cis_str a, struct cis_str b)
{
    bool more_a = a.len > 0, more_b = b.len > 0;
    while (more_a && more_b) {
        struct cis_str x, y;
        more_a = cis_str_split(&a, '.', &x);
        more_b = cis_str_split(&b, '.', &y);
        int order = compare_identifiers(x, y);
        if (order != 0) {
            return order;
        }
    }
    return (int)more_a - (int)more_b;
}

bool cis_version_older(const char *a, const char *b)
{
    struct cis_str rest_a = cis_str_of(a), rest_b = cis_str_of(b), x, y, core_a, core_b;
    cis_str_split(&rest_a, '+', &x); /* build metadata does not count */
    cis_str_split(&rest_b, '+', &y);
    bool pre_a = cis_str_split(&x, '-', &core_a), pre_b = cis_str_split(&y, '-', &core_b);
    int order = compare_lists(core_a, core_b);
    if (order != 0) {
        return order < 0;
    }
    if (pre_a != pre_b) {
        return pre_a; /* 1.0.0-rc.1 comes before 1.0.0 */
    }
    return pre_a && compare_lists(x, y) < 0;
}
