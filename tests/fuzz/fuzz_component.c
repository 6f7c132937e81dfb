/* Any bytes as a component, as far as a run of it begins: scanned, compiled, linked with WASI 0.2
 * and with nothing for the rest. A refusal with a reason, or a program. */
#include <stdint.h>
#include <stdlib.h>
#include "base/clock.h"
#include "engine/component/component.h"
#include "wasi/p2/p2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cis_ifacefn *function(void *self, struct cis_str interface, struct cis_str name)
{
    (void)self;
    return cis_wasi_p2_function(interface, name);
}

static const struct cis_iface_resource *resource(void *self, struct cis_str interface,
                                                 struct cis_str name)
{
    (void)self;
    return cis_wasi_p2_resource(interface, name);
}

static cis_engine *engine;
static void close_engine(void)
{
    cis_engine_close(engine);
}

static void begin(void)
{
    const struct cis_engine_options o = {.pool_slots = 1, .compile_in_process = true};
    if (cis_engine_open(&o, &engine, NULL) != CIS_OK || atexit(close_engine) != 0) {
        abort();
    }
}

static void check(cis_code code, const struct cis_error *err)
{
    if (code != CIS_OK && (code != err->code || err->msg[0] == '\0' || code == CIS_E_INTERNAL)) {
        abort();
    }
}

/* recorded: as a replay does it, with the component's own types for what nobody provides. */
static void link_one(cis_engine_module *image, bool trap, bool recorded)
{
    const struct cis_iface_provider provider = {
        .function = function, .resource = resource, .trap_unknown = trap, .recorded = recorded};
    struct cis_error err = {0};
    cis_linked *program = NULL;
    check(cis_component_link(image, &provider, NULL, &program, &err), &err);
    cis_linked_unref(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cis_engine_module_options o = {.name = "fuzz", .stop = {.deadline_ns = CIS_NEVER}};
    struct cis_engine_module_info *info = NULL;
    cis_engine_module *image = NULL;
    struct cis_error err = {0};
    if (engine == NULL) {
        begin();
    }
    cis_code code = cis_engine_module_scan(cis_bytes_of(data, size), &o, &info, &err);
    check(code, &err);
    bool component = code == CIS_OK && info->component;
    cis_engine_module_info_free(info);
    if (component) {
        code = cis_engine_module_load(engine, cis_bytes_of(data, size), &o, &image, &err);
        check(code, &err);
    }
    if (image != NULL) {
        link_one(image, false, false);
        link_one(image, true, false);
        link_one(image, false, true);
        cis_engine_module_unref(image);
    }
    return 0;
}
