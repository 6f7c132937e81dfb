/* Any bytes as a module: a refusal with a reason, or a scan whose parts fit together. */
#include <stdint.h>
#include <stdlib.h>
#include "base/cancel.h"
#include "engine/code/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check(const struct cis_engine_module_info *info)
{
    require(info->json != NULL && info->json[0] == '{');
    for (size_t i = 0; i < info->nexports; i++) {
        const struct cis_extern *e = &info->exports[i];
        require(e->name.ptr != NULL && e->type != NULL);
        require(info->component || cis_info_export(info, e->name) != NULL);
        require(e->kind != CIS_EXTERN_FUNC || info->component || strchr(e->type, ':') != NULL);
    }
    for (size_t i = 0; i < info->nimports; i++) {
        require(info->imports[i].name.ptr != NULL && info->imports[i].type != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cis_engine_module_options all = {
        .name = "fuzz", .features = CIS_FEATURE_MEMORY64 | CIS_FEATURE_EXCEPTIONS};
    const struct cis_engine_module_options none = {.name = "fuzz"};
    struct cis_engine_module_info *info = NULL, *plain = NULL;
    struct cis_error err = {0};
    cis_code code = cis_engine_module_scan(cis_bytes_of(data, size), &all, &info, &err);
    require(code == CIS_OK || (code == err.code && err.msg[0] != 0 && code != CIS_E_INTERNAL));
    /* Nothing is valid with fewer features and not with more. */
    cis_code less = cis_engine_module_scan(cis_bytes_of(data, size), &none, &plain, NULL);
    require(less != CIS_OK || code == CIS_OK);
    if (code == CIS_OK) {
        check(info);
    }
    cis_engine_module_info_free(info);
    cis_engine_module_info_free(plain);
    return 0;
}
