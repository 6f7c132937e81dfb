/* Tools that installed skills declare. */
#include "mcp/internal.h"

cis_code cis_mcp_tools_of_skills(struct cis_mcp *m, struct cis_error *err)
{
    (void)m, (void)err;
    return CIS_OK;
}
