/* Any bytes as skill.toml: an error or a manifest that survives the way through the registry. */
#include <stdint.h>
#include <stdlib.h>
#include "skill/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cis_manifest m = CIS_MANIFEST_INIT, again = CIS_MANIFEST_INIT;
    struct cis_error err = {0};
    struct cis_str text = {(const char *)data, size};
    if (cis_manifest_parse(text, "skill.toml", &m, &err) != CIS_OK) {
        if (err.code == CIS_OK || err.msg[0] == 0) {
            abort(); /* a failure without a reason */
        }
        return 0;
    }
    if (!cis_skill_name_valid(cis_str_of(m.name)) || !cis_skill_path_valid(cis_str_of(m.entry)) ||
        cis_grants_has(&m.asked, CIS_GRANT_COMMAND) || m.bare) {
        abort();
    }
    if (cis_manifest_parse_row(cis_str_of(m.json), &again, &err) != CIS_OK || again.bare ||
        strcmp(m.json, again.json) != 0 || !cis_grants_cover(&m.asked, &again.asked) ||
        !cis_grants_cover(&again.asked, &m.asked)) {
        abort();
    }
    cis_manifest_done(&m);
    cis_manifest_done(&again);
    return 0;
}
