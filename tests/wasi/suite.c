#include "wasi/suite.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "engine/code/document.h"
#include "vfs/ops.h"

static cis_engine *engine;
static const char *adapter; /* NULL: guests are modules */
static struct image {
    char name[64];
    bool fuel;
    cis_engine_module *image;
} images[96];
static size_t nimages;

void suite_start(const char *version)
{
    adapter = version;
    struct cis_engine_options o = {.pool_slots = 4, .compile_in_process = true};
    assert_ok(cis_engine_open(&o, &engine, err));
}

void suite_stop(void)
{
    for (size_t i = 0; i < nimages; i++) {
        cis_engine_module_unref(images[i].image);
    }
    nimages = 0;
    cis_engine_close(engine);
}

cis_engine *suite_engine(void)
{
    return engine;
}

const char *suite_adapter(void)
{
    return adapter;
}

cis_engine_module *suite_image(const char *file, bool fuel)
{
    for (size_t i = 0; i < nimages; i++) {
        if (strcmp(images[i].name, file) == 0 && images[i].fuel == fuel) {
            return images[i].image;
        }
    }
    assert_true(nimages < sizeof images / sizeof *images);
    char path[512];
    CIS_CLEANUP(cis_buf_done) struct cis_buf wasm = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf made = CIS_BUF_INIT(64u << 20);
    struct cis_engine_module_options o = {
        .name = file, .fuel = fuel, .memory_limit = 1ull << 30, .stop = {.deadline_ns = CIS_NEVER}};
    struct image *i = &images[nimages];
    snprintf(path, sizeof path, "%s/wasi_%s.wasm", CIS_GUESTS_DIR, file);
    assert_ok(cis_file_read(path, &wasm, err));
    bool component = adapter != NULL && strcmp(file, "tree") != 0; /* tree only looks */
    if (component) {
        assert_ok(cis_component_make(cis_buf_bytes(&wasm), cis_bytes_of(adapter, strlen(adapter)),
                                     &o, &made, err));
    }
    assert_ok(cis_engine_module_load(engine, cis_buf_bytes(component ? &made : &wasm), &o,
                                     &i->image, err));
    snprintf(i->name, sizeof i->name, "%s", file);
    i->fuel = fuel;
    nimages++;
    return i->image;
}

cis_code suite_try(const struct place *place, const struct suite_how *how, struct suite_result *out,
                   struct cis_error *err)
{
    const char *args[SUITE_ARGS + 2] = {how->file};
    for (size_t i = 0; i < SUITE_ARGS && how->args[i] != NULL; i++) {
        args[i + 1] = how->args[i];
    }
    struct cis_run_program program = {
        .args = args,
        .env = how->env,
        .std = {{.kind = CIS_STREAM_BYTES,
                 .bytes = cis_bytes_of(how->input, how->input != NULL ? strlen(how->input) : 0)},
                {.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(8u << 20)},
                {.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(1u << 20)}},
        .listeners = how->listeners,
        .nlisteners = how->nlisteners,
        .trap_unknown_imports = how->trap_unknown,
    };
    for (size_t i = 0; how->std != NULL && i < 3; i++) {
        program.std[i] = how->std[i];
    }
    struct cis_run_request request = {
        .engine = engine,
        .module = suite_image(how->file, how->fuel != 0),
        .store = place != NULL ? place->store : NULL,
        .skill = how->file,
        .limits = {.memory_bytes = how->memory_bytes != 0 ? how->memory_bytes : 512u << 20,
                   .fuel = how->fuel,
                   .host_bytes = how->host_bytes},
        .time_ns = how->time_ns != 0 ? how->time_ns : 300 * CIS_NS_PER_S,
        .fs_cache = place != NULL ? place->fs_cache : NULL,
        .mounts = how->mounts,
        .nmounts = how->nmounts,
        .read_only = how->read_only,
        .files_max = how->files_max,
        .program = &program,
    };
    *out = (struct suite_result){0};
    CIS_TRY(cis_run_execute(&request, &out->outcome, err));
    const struct cis_host_stream *one = &out->outcome.std[1];
    out->text = strndup(one->kind == CIS_STREAM_KEEP ? cis_buf_cstr(&one->kept) : "",
                        one->kind == CIS_STREAM_KEEP ? one->kept.len : 0);
    return CIS_OK;
}

void suite_run(const struct place *place, const struct suite_how *how, struct suite_result *out)
{
    assert_ok(suite_try(place, how, out, err));
}

void suite_done(struct suite_result *result)
{
    for (size_t i = 0; i < 3; i++) {
        if (result->outcome.std[i].kind == CIS_STREAM_KEEP) {
            cis_buf_done(&result->outcome.std[i].kept);
            result->outcome.std[i].kind = CIS_STREAM_NULL;
        }
    }
    cis_run_outcome_done(&result->outcome);
    free(result->text);
}

char *suite_linux(const char *name, const char *const *args, const char *const *env,
                  const char *folder)
{
    char *program = NULL, *text;
    struct cis_process_result result = {0};
    assert_true(asprintf(&program, "%s/tests/wasi_linux_%s", CIS_TEST_BUILD_DIR, name) > 0);
    const char *argv[SUITE_ARGS + 2] = {program};
    for (size_t i = 0; i < SUITE_ARGS && args[i] != NULL; i++) {
        argv[i + 1] = args[i];
    }
    struct cis_process_options o = {
        .argv = argv,
        .envp = env,
        .cwd = folder,
        .output_max = 8u << 20,
        .errors_max = 1u << 20,
        .stop = {.deadline_ns = cis_clock_after(cis_clock_mono_ns(), 120 * CIS_NS_PER_S)}};
    assert_ok(cis_process_run(&o, &result, err));
    if (result.exit_code != 0) {
        fail_msg("%s on Linux: exit code %d: %s%s", name, result.exit_code,
                 cis_buf_cstr(&result.output), cis_buf_cstr(&result.errors));
    }
    text = strdup(cis_buf_cstr(&result.output));
    cis_process_result_done(&result);
    free(program);
    return text;
}

/* ---- what adapters cannot do ---- */

static bool in_list(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (*at == '*' || (strncmp(at, word, len) == 0 && (at[len] == ' ' || at[len] == '\0'))) {
            return true;
        }
    }
    return false;
}

const struct adapted *suite_adapted(enum backend backend, const char *guest, size_t i)
{
    static const struct adapted table[] = {
#define FAILS(text) CIS_E_FAILED, text
#define TRAPS(text) CIS_E_TRAP, text
#define FOREVER CIS_E_DEADLINE, "time limit of 10000 ms reached"
#define ADAPTED(guest, backends, versions, name, end, clause)                                      \
    {guest, backends, versions, name, end},
#include "wasi/adapted.def"
#undef ADAPTED
#undef FOREVER
#undef TRAPS
#undef FAILS
        {NULL, NULL, NULL, NULL, CIS_OK, NULL}};
    for (size_t k = 0; adapter != NULL && table[k].guest != NULL; k++) {
        if (strcmp(table[k].guest, guest) == 0 && in_list(table[k].versions, adapter) &&
            in_list(table[k].backends, backend_names[backend]) && i-- == 0) {
            return &table[k];
        }
    }
    return NULL;
}

/* ---- checking ---- */
static struct exception {
    const char *guest, *backend, *name, *clause;
    bool used;
} exceptions[] = {
#define EXCEPTION(guest, backend, name, clause) {guest, backend, name, clause, false},
#include "wasi/exceptions.def"
#undef EXCEPTION
    {NULL, NULL, NULL, NULL, false}};
#define EXCEPTIONS_MAX 5
_Static_assert(sizeof exceptions / sizeof *exceptions <= EXCEPTIONS_MAX + 1, "at most five");

static bool excepted(enum backend backend, const char *guest, const char *line)
{
    for (struct exception *e = exceptions; e->guest != NULL; e++) {
        const char *name = line;
        name += strncmp(name, "not ok ", 7) == 0 ? 7 : strncmp(name, "ok ", 3) == 0 ? 3 : 0;
        size_t len = strlen(e->name);
        if (strcmp(e->guest, guest) == 0 && strcmp(e->backend, backend_names[backend]) == 0 &&
            strncmp(name, e->name, len) == 0 && (name[len] == ':' || name[len] == '\0')) {
            print_message("exception: %s on %s: %s: %s\n", e->guest, e->backend, e->name,
                          e->clause);
            e->used = true;
            return true;
        }
    }
    return false;
}

static void all_exceptions_were_needed(enum backend backend, const char *guest)
{
    for (struct exception *e = exceptions; e->guest != NULL; e++) {
        if (strcmp(e->guest, guest) == 0 && strcmp(e->backend, backend_names[backend]) == 0 &&
            !e->used) {
            fail_msg("%s on %s: %s is listed as an exception and passes", e->guest, e->backend,
                     e->name);
        }
        e->used = strcmp(e->guest, guest) == 0 ? false : e->used;
    }
}

void suite_check(enum backend backend, const char *guest, const char *got, const char *wanted)
{
    char *mine = strdup(got), *theirs = wanted != NULL ? strdup(wanted) : NULL;
    char *save = NULL, *save_their = NULL;
    char *line = strtok_r(mine, "\n", &save);
    char *their = theirs != NULL ? strtok_r(theirs, "\n", &save_their) : NULL;
    size_t lines = 0, wrong = 0;
    for (; line != NULL || their != NULL; lines++) {
        bool ok = wanted == NULL ? strncmp(line, "ok ", 3) == 0
                                 : line != NULL && their != NULL && strcmp(line, their) == 0;
        if (!ok && !excepted(backend, guest, line != NULL ? line : their) && wrong++ < 20) {
            print_error("%s on %s: %s%s%s\n", guest, backend_names[backend],
                        line != NULL ? line : "(nothing)", wanted != NULL ? "; Linux: " : "",
                        their != NULL    ? their
                        : wanted != NULL ? "(nothing)"
                                         : "");
        }
        line = line != NULL ? strtok_r(NULL, "\n", &save) : NULL;
        their = their != NULL ? strtok_r(NULL, "\n", &save_their) : NULL;
    }
    free(mine);
    free(theirs);
    if (wrong != 0 || lines == 0) {
        fail_msg("%s on %s: %zu of %zu answers are wrong", guest, backend_names[backend], wrong,
                 lines);
    }
    all_exceptions_were_needed(backend, guest);
}

long suite_resident_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}
