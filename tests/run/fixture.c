#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "vfs/walk.h"
#include "store/calls.h"

cis_engine *fx_engine;
cis_engine_module *fx_tool;
static struct pgcluster *cluster;

int fx_setup(void **state)
{
    struct fx *fx = calloc(1, sizeof *fx);
    fx->dir = test_dir_new();
    if (cluster != NULL) {
        fx->url = pgcluster_store(cluster);
        assert_ok(cis_store_postgres_open(fx->url, NULL, &fx->store, NULL, err));
    } else {
        char *place = fx_path(fx, "store");
        assert_ok(cis_file_mkdirs(place, 0700, err));
        assert_ok(cis_store_sqlite_open(place, &fx->store, err));
        free(place);
    }
    assert_ok(cis_fs_cache_new(fx->store, NULL, &fx->fs_cache, err));
    *state = fx;
    return 0;
}

int fx_teardown(void **state)
{
    struct fx *fx = *state;
    if (fx->has_last) {
        cis_run_outcome_done(&fx->last);
    }
    cis_fs_cache_free(fx->fs_cache);
    cis_store_close(fx->store);
    if (cluster != NULL) {
        pgcluster_drop(cluster, fx->url);
    }
    struct cis_error err;
    int failed = cis_file_remove_tree(fx->dir, &err) != CIS_OK;
    free(fx->dir);
    free(fx);
    return failed;
}

int fx_run(int (*run)(void))
{
    struct cis_engine_options o = {.compile_in_process = true, .pool_slots = 200};
    CIS_CLEANUP(cis_buf_done) struct cis_buf module = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_engine_open(&o, &fx_engine, err));
    assert_ok(cis_file_read(CIS_GUESTS_DIR "/tool.wasm", &module, err));
    struct cis_engine_module_options io = {.name = "tool", .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_engine_module_load(fx_engine, cis_buf_bytes(&module), &io, &fx_tool, err));
#ifdef FX_POSTGRES
    cluster = pgcluster_start(NULL);
#endif
    int failed = run();
    if (cluster != NULL) {
        pgcluster_stop(cluster);
    }
    cis_engine_module_unref(fx_tool);
    cis_engine_close(fx_engine);
    return failed;
}

/* ---- runs ---- */

void job_init(struct job *job, struct fx *fx, const char *words)
{
    *job = (struct job){0};
    job->words = strdup(words);
    size_t n = 0;
    job->args[n++] = "tool";
    for (char *save = NULL, *w = strtok_r(job->words, " ", &save); w != NULL;
         w = strtok_r(NULL, " ", &save)) {
        assert_true(n < 63);
        job->args[n++] = w;
    }
    job->program.args = job->args;
    job->program.std[0] = (struct cis_host_stream){.kind = CIS_STREAM_NULL};
    for (int i = 1; i < 3; i++) {
        job->program.std[i] =
            (struct cis_host_stream){.kind = CIS_STREAM_KEEP, .kept = CIS_BUF_INIT(65536)};
    }
    job->request = (struct cis_run_request){.engine = fx_engine,
                                            .module = fx_tool,
                                            .store = fx->store,
                                            .tenant = "t",
                                            .skill = "file:tool",
                                            .limits = {.memory_bytes = 64u << 20},
                                            .time_ns = 600 * CIS_NS_PER_S,
                                            .fs_cache = fx->fs_cache,
                                            .program = &job->program,
                                            .mounts = job->mounts};
}

struct cis_run_mount *job_mount(struct job *job, const char *guest, const char *host,
                                enum cis_mount_mode mode, const char *branch)
{
    struct cis_run_mount *m = &job->mounts[job->request.nmounts++];
    *m = (struct cis_run_mount){.guest_path = guest, .host = host, .mode = mode, .branch = branch};
    return m;
}

void job_done(struct job *job)
{
    free(job->words);
}

cis_code fx_go(struct fx *fx, struct job *job)
{
    if (fx->has_last) {
        cis_run_outcome_done(&fx->last);
        fx->has_last = false;
    }
    assert_ok(cis_run_execute(&job->request, &fx->last, err));
    fx->has_last = true;
    return fx->last.code;
}

cis_code fx_tool_run(struct fx *fx, const char *words)
{
    struct job job;
    job_init(&job, fx, words);
    job_mount(&job, "/w", NULL, CIS_MOUNT_RW, NULL);
    cis_code code = fx_go(fx, &job);
    job_done(&job);
    return code;
}

/* ---- looking ---- */

char *fx_read(struct fx *fx, const char *ref, const char *path)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    struct cis_vfs_call call = {0};
    struct cis_vfs_attr attr;
    cis_vfs *vfs = NULL;
    cis_ns *ns = NULL;
    cis_dir *root = NULL;
    cis_vfs_file *file = NULL;
    char *text = NULL;
    o.tenant = CIS_STR("t");
    o.ref = cis_str_of(ref);
    o.read_only = true;
    assert_ok(cis_layered_open(fx->fs_cache, &o, NULL, &vfs, err));
    assert_ok(cis_ns_new(&ns, err));
    assert_ok(cis_ns_mount(ns, CIS_STR("/"), vfs, 0, true, err));
    assert_int_equal(cis_dir_root(ns, &call, CIS_STR("/"), &root), 0);
    int no = cis_at_open(root, &call, cis_str_of(path),
                         &(struct cis_open_how){CIS_WALK_CHROOT, O_RDONLY, 0}, &file, &attr);
    if (no == 0) {
        size_t n;
        text = calloc(1, attr.size + 1);
        struct iovec iov = {text, attr.size};
        assert_int_equal(cis_vfs_read(file, &call, &iov, 1, 0, &n), 0);
        assert_int_equal(n, attr.size);
        cis_vfs_file_close(file);
    } else {
        assert_int_equal(no, ENOENT);
    }
    cis_dir_free(root);
    cis_ns_free(ns);
    cis_vfs_close(vfs);
    return text;
}

void fx_is(struct fx *fx, const char *ref, const char *path, const char *text)
{
    char *have = fx_read(fx, ref, path);
    if (text == NULL ? have != NULL : have == NULL || strcmp(have, text) != 0) {
        fail_msg("%s of %s: \"%s\", not \"%s\"", path, ref, have != NULL ? have : "(not there)",
                 text != NULL ? text : "(not there)");
    }
    free(have);
}

bool fx_has_ref(struct fx *fx, const char *ref)
{
    struct cis_fs_ref out;
    struct cis_error err;
    return cis_store_ref_get(fx->store, CIS_STR("t"), cis_str_of(ref), &out, NULL, &err) == CIS_OK;
}

uint64_t fx_commits(struct fx *fx, const char *ref)
{
    struct cis_fs_ref out;
    assert_ok(cis_store_ref_get(fx->store, CIS_STR("t"), cis_str_of(ref), &out, NULL, err));
    return out.head.epoch;
}

char *fx_path(struct fx *fx, const char *name)
{
    size_t len = strlen(fx->dir) + strlen(name) + 2;
    char *path = malloc(len);
    snprintf(path, len, "%s/%s", fx->dir, name);
    return path;
}

void fx_put(struct fx *fx, const char *name, const char *text)
{
    char *path = fx_path(fx, name), *folder = strdup(path);
    folder[strlen(path) - strlen(strrchr(path, '/'))] = 0;
    assert_ok(cis_file_mkdirs(folder, 0755, err));
    free(folder);
    assert_ok(cis_file_write(path, cis_bytes_of(text, strlen(text)), 0644, err));
    free(path);
}

void fx_host_is(struct fx *fx, const char *name, const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf have = CIS_BUF_INIT(1u << 20);
    char *path = fx_path(fx, name);
    struct cis_error err;
    cis_code code = cis_file_read(path, &have, &err);
    if (text == NULL) {
        assert_int_equal(code, CIS_E_NOTFOUND);
    } else {
        assert_int_equal(code, CIS_OK);
        assert_string_equal(cis_buf_cstr(&have), text);
    }
    free(path);
}

static bool take_record(void *self, const struct cis_run_row *row)
{
    *(json_t **)self = json_loadb(row->report.ptr, row->report.len, JSON_ALLOW_NUL, NULL);
    return false;
}

json_t *fx_record(struct fx *fx)
{
    json_t *out = NULL;
    assert_ok(cis_store_run_get(fx->store, CIS_STR("t"), cis_str_of(fx->last.id), take_record, &out,
                                NULL, err));
    assert_non_null(out);
    return out;
}
