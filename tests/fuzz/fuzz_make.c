/* Any bytes as a core module of which a component is made, and as something whose interfaces are
 * shown: a refusal with a reason, or a component that can be read. The first byte says which
 * adapter: one of those built in, or a module that is cut off the end of the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include "base/clock.h"
#include "engine/code/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK && (code != err->code || err->msg[0] == '\0' || code == CIS_E_INTERNAL)) {
        abort();
    }
}

static void show(struct cis_bytes wasm, const struct cis_engine_module_options *o, bool must)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(64u << 20);
    struct cis_error err = {0};
    cis_code code = cis_component_wit(wasm, o, &text, &err);
    check(code, &err);
    if (must && (code != CIS_OK || text.len == 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const versions[] = {"", "0.2.0", "0.2.3", "0.2.12"};
    const struct cis_engine_module_options o = {.name = "fuzz", .stop = {.deadline_ns = CIS_NEVER}};
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(64u << 20);
    struct cis_error err = {0};
    if (size == 0 || memmem(data, size, "component-type", 14) != NULL) {
        return 0;
    }
    uint8_t how = data[0];
    struct cis_bytes module = cis_bytes_of(data + 1, size - 1);
    struct cis_bytes adapter = cis_bytes_of(versions[how % 4], strlen(versions[how % 4]));
    if (how % 8 == 7 && module.len > 8) { /* a hostile adapter, too */
        size_t n = module.len * (how >> 3) / 32;
        adapter = cis_bytes_of(module.ptr + module.len - n, n);
        module.len -= n;
    }
    cis_code code = cis_component_make(module, adapter, &o, &made, &err);
    check(code, &err);
    if (code == CIS_OK) {
        struct cis_engine_module_info *info = NULL;
        struct cis_error why = {0};
        check(cis_engine_module_scan(cis_buf_bytes(&made), &o, &info, &why), &why);
        cis_engine_module_info_free(info);
        show(cis_buf_bytes(&made), &o, true);
    }
    show(cis_bytes_of(data + 1, size - 1), &o, false);
    return 0;
}
