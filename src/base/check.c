#include "base/check.h"

cis_code cis_check_failed(const char *condition, const char *function, struct cis_error *err)
{
    return cis_fail(err, CIS_E_INTERNAL,
                    "internal error: %s does not hold in %s (please report it)", condition,
                    function);
}
