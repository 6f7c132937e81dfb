/* A guest that imports every function of both modules and hands each on as "MODULE.NAME". */
#include "wasi_p1/files/files.h"

#include "base/clock.h"

static cis_engine *engine;
static cis_engine_module *image;
static cis_linked *program;
static cis_engine_instance *guest;

static void each_row(void (*each)(const struct cis_hostfn *, size_t, struct cis_buf *),
                     struct cis_buf *out)
{
    const struct cis_hostfn_table *tables[] = {&cis_wasi_p1_table, &cis_wasi_unstable_table};
    size_t n = 0;
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            each(&tables[t]->rows[i], n++, out);
        }
    }
}

static void write_import(const struct cis_hostfn *row, size_t n, struct cis_buf *out)
{
    cis_buf_printf(out, " (import \"%s\" \"%s\" (func $f%zu", row->module, row->name, n);
    const char *p = row->type;
    for (; *p != ':'; p++) {
        cis_buf_printf(out, " (param %s)", *p == 'i' ? "i32" : "i64");
    }
    cis_buf_printf(out, "%s))\n", p[1] != 0 ? " (result i32)" : "");
}

static void write_export(const struct cis_hostfn *row, size_t n, struct cis_buf *out)
{
    cis_buf_printf(out, " (func (export \"%s.%s\")", row->module, row->name);
    size_t nargs = strcspn(row->type, ":");
    for (size_t k = 0; k < nargs; k++) {
        cis_buf_printf(out, " (param %s)", row->type[k] == 'i' ? "i32" : "i64");
    }
    cis_buf_printf(out, "%s", row->type[nargs + 1] != 0 ? " (result i32)" : "");
    for (size_t k = 0; k < nargs; k++) {
        cis_buf_printf(out, " local.get %zu", k);
    }
    cis_buf_printf(out, " call $f%zu)\n", n);
}

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    (void)self;
    const struct cis_hostfn_table *tables[] = {&cis_wasi_p1_table, &cis_wasi_unstable_table};
    for (size_t t = 0; t < 2; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (cis_str_is(import->module, row->module) && cis_str_is(import->name, row->name)) {
                return row;
            }
        }
    }
    return NULL;
}

void guest_program_start(void)
{
    struct cis_engine_options o = {.pool_slots = 2, .cpu_slots = 1, .compile_in_process = true};
    CIS_CLEANUP(cis_buf_done) struct cis_buf wat = CIS_BUF_INIT(1u << 20);
    cis_buf_text(&wat, "(module\n");
    each_row(write_import, &wat);
    each_row(write_export, &wat);
    cis_buf_text(&wat, " (memory (export \"memory\") 1))\n");
    struct cis_engine_module_options io = {.name = "guest", .stop = {.deadline_ns = CIS_NEVER}};
    assert_ok(cis_engine_open(&o, &engine, err));
    assert_ok(cis_engine_module_load(engine, cis_bytes_of(wat.ptr, wat.len), &io, &image, err));
    assert_ok(cis_linked_new(image, resolve, NULL, &program, err));
}

void guest_program_stop(void)
{
    cis_linked_unref(program);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
}

void guest_begin(struct cis_host *host)
{
    struct cis_engine_instance_options o = {
        .limits = {.memory_bytes = 1u << 20, .host_bytes = 1u << 20},
        .stop = {.deadline_ns = CIS_NEVER},
        .grants = cis_host_guest_grants(host),
        .host = host,
        .budget = &host->budget};
    assert_ok(cis_engine_instance_new(engine, program, &o, &guest, err));
    FX.memory = (uint32_t)cis_engine_instance_memory_size(guest);
}

void guest_end(void)
{
    cis_engine_instance_free(guest);
    guest = NULL;
}

cis_engine_instance *guest_now(void)
{
    return guest;
}

void guest_deadline(uint64_t deadline_ns)
{
    struct cis_stop stop = {deadline_ns, NULL};
    cis_engine_instance_rearm(guest, &stop, 0);
}

cis_code guest_call(const struct cis_hostfn *row, union cis_slot *io, struct cis_error *err)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", row->module, row->name);
    return cis_engine_instance_call(guest, cis_str_of(name), row->type, io, err);
}

int guest_blocked(void)
{
    return -1;
}

uint64_t guest_burned(void)
{
    return 0;
}

void guest_fuel(uint64_t most)
{
    (void)most;
}

uint64_t guest_wrote(void)
{
    return 0;
}
