/* `cis doctor`: what this installation has to work with, and what is wrong with it. Each line is
 * found out by doing what a run would do, not by reading the configuration back. */
#include "cli/app.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "exec/exec.h"
#include "service/ai/ai.h"
#include "store/calls.h"

enum level { OK, NOTE, BAD };

struct doctor {
    const struct cis_cli *cli;
    cis_app *app;
    unsigned bad;
};

/* One finding; an advice is given for what is not in order. */
static void say(struct doctor *d, enum level level, const char *what, const char *value,
                const char *advice)
{
    static const char *const names[] = {"ok", "note", "bad"};
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(1u << 20);
    d->bad += level == BAD;
    if (d->cli->json) {
        cis_cli_item(CIS_JSON(CIS_J("check", what), CIS_J("status", names[level]),
                              CIS_J("value", value),
                              CIS_J_IF(advice != NULL, CIS_J("advice", advice))));
    } else {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
        cis_cli_printable(&text, cis_str_of(value));
        cis_buf_printf(&line, "%-4s %-16s %s\n", names[level], what, cis_buf_cstr(&text));
        if (advice != NULL) {
            cis_buf_printf(&line, "     %-16s %s\n", "", advice);
        }
    }
    cis_cli_out(line.ptr, line.len);
}

static void say_error(struct doctor *d, const char *what, const struct cis_error *err)
{
    say(d, BAD, what, err->msg, NULL);
}

static uint64_t number_in(const char *path)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(256);
    uint64_t n = 0;
    if (cis_file_read(path, &text, NULL) == CIS_OK) {
        cis_str_u64(cis_str_trim(cis_buf_view(&text)), &n);
    }
    return n;
}

/* ---- the machine ---- */
static void cpu(struct doctor *d)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf info = CIS_BUF_INIT(16u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    static const char *const shown[] = {"sse4_2", "popcnt", "bmi1", "bmi2",    "lzcnt",   "abm",
                                        "avx",    "avx2",   "fma",  "avx512f", "atomics", "asimd"};
    cis_buf_printf(&text, "%ld cores", sysconf(_SC_NPROCESSORS_ONLN));
    if (cis_file_read("/proc/cpuinfo", &info, NULL) == CIS_OK) {
        const char *flags = strstr(cis_buf_cstr(&info), "\nflags");
        flags = flags != NULL ? flags : strstr(cis_buf_cstr(&info), "\nFeatures");
        struct cis_str rest = cis_str_of(flags != NULL ? flags + 1 : ""), line, word;
        cis_str_split(&rest, '\n', &line);
        for (bool more = true; more;) {
            more = cis_str_split(&line, ' ', &word);
            for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
                if (cis_str_is(word, shown[i])) {
                    cis_buf_printf(&text, " %s", shown[i]);
                }
            }
        }
    }
    say(d, OK, "cpu", cis_buf_cstr(&text), NULL);
}

static void maps(struct doctor *d)
{
    char text[64];
    uint64_t n = number_in("/proc/sys/vm/max_map_count");
    snprintf(text, sizeof text, "vm.max_map_count %" PRIu64, n);
    bool few = n < 65530;
    say(d, few ? NOTE : OK, "memory maps", text,
        few ? "an instance needs about four: raise it with sysctl vm.max_map_count=65530" : NULL);
}

/* ---- the installation ---- */
enum { FREE_MIN = 1 << 20 }; /* bytes without which a run may find no room for its report */

/* Whether mkdir -p would get through: the nearest folder above that exists lets this user write. */
static bool can_be_made(const char *path)
{
    CIS_CLEANUP(cis_freep) char *above = cis_strdup(path);
    struct stat st;
    char *slash;
    while (above != NULL && (slash = strrchr(above, '/')) != NULL) {
        slash[slash == above ? 1 : 0] = 0;
        if (stat(above, &st) == 0) {
            return S_ISDIR(st.st_mode) && access(above, W_OK | X_OK) == 0;
        }
        if (slash == above) {
            break;
        }
    }
    return false;
}

static bool full(const char *path)
{
    struct statvfs v;
    return statvfs(path, &v) == 0 && v.f_blocks != 0 &&
           v.f_bavail < ((fsblkcnt_t)FREE_MIN + v.f_frsize - 1) / v.f_frsize;
}

static void folder(struct doctor *d, const char *what, const char *path)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8192);
    struct stat st;
    if (stat(path, &st) != 0) {
        bool can = can_be_made(path);
        cis_buf_printf(&text, can ? "%s: made at first use" : "%s: cannot be made", path);
        say(d, can ? OK : BAD, what, cis_buf_cstr(&text),
            can ? NULL : "set CIS_HOME to a folder that this user may write");
        return;
    }
    cis_buf_printf(&text, "%s, mode %04o", path, (unsigned)(st.st_mode & 07777));
    if (!S_ISDIR(st.st_mode) || access(path, R_OK | W_OK | X_OK) != 0) {
        say(d, BAD, what, cis_buf_cstr(&text), "not a folder that this user may write");
    } else if (st.st_uid != geteuid()) {
        say(d, BAD, what, cis_buf_cstr(&text), "belongs to another user");
    } else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        say(d, BAD, what, cis_buf_cstr(&text), "others may write it: chmod go-w");
    } else if (full(path)) {
        say(d, BAD, what, cis_buf_cstr(&text), "its disk is full");
    } else {
        say(d, OK, what, cis_buf_cstr(&text), NULL);
    }
}

static void engine(struct doctor *d)
{
    struct cis_error err = {0};
    cis_engine *engine = NULL;
    say(d, OK, "engine", cis_engine_version(), NULL);
    if (cis_app_engine(d->app, 0, &engine, &err) != CIS_OK) {
        say_error(d, "engine profile", &err);
        return;
    }
    struct cis_engine_stats stats;
    cis_engine_stats(engine, &stats);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    if (stats.pooled) {
        cis_buf_printf(&text, "pooled, %" PRIu64 " slots", stats.pool_slots);
    } else {
        cis_buf_text(&text, "on demand");
    }
    const struct cis_config *c = cis_app_config(d->app);
    if (c->slots != 0) {
        cis_buf_printf(&text, ", %u guests at once", c->slots);
    } else {
        cis_buf_printf(&text, ", %ld guests at once", sysconf(_SC_NPROCESSORS_ONLN));
    }
    cis_buf_printf(&text, "%s%s", c->memory64 ? ", memory64" : "",
                   c->exceptions ? ", exceptions" : "");
    say(d, stats.pooled ? OK : NOTE, "engine profile", cis_buf_cstr(&text),
        stats.pooled ? NULL : "the pool's address space was refused: instances start slower");
    say(d, stats.disk_cache ? OK : NOTE, "code cache", stats.disk_cache ? "in use" : "memory only",
        stats.disk_cache ? NULL : "modules are compiled again at every start");
}

static void store(struct doctor *d)
{
    struct cis_error err = {0};
    cis_store *store = NULL;
    cis_code code = cis_app_store(d->app, &store, &err);
    uint64_t bytes = 0, keys = 0;
    if (code == CIS_OK) {
        struct cis_stop stop = cis_app_stop(d->app);
        code = cis_store_kv_usage(store, cis_str_of(d->cli->tenant), CIS_VIEW_HEAD, &bytes, &keys,
                                  &stop, &err);
    }
    if (code != CIS_OK) {
        say_error(d, "store", &err);
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8192);
    if (cis_store_describe(store, &text, &err) != CIS_OK) {
        say_error(d, "store", &err);
        return;
    }
    cis_buf_printf(&text, "; tenant %s: %" PRIu64 " keys, %" PRIu64 " bytes", d->cli->tenant, keys,
                   bytes);
    say(d, OK, "store", cis_buf_cstr(&text), NULL);
}

static void services(struct doctor *d)
{
    struct cis_error err = {0};
    struct cis_services services;
    const struct cis_config *c = cis_app_config(d->app);
    if (c->ca_file != NULL && access(c->ca_file, R_OK) != 0) {
        say(d, BAD, "http ca", c->ca_file, "http.ca_file cannot be read");
    } else {
        say(d, OK, "http ca", c->ca_file != NULL ? c->ca_file : "the system's", NULL);
    }
    if (cis_app_services(d->app, true, &services, &err) != CIS_OK) {
        say_error(d, "services", &err);
        return;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(16384);
    const struct cis_ai *ai = cis_ai_of(services.ai);
    cis_ai_describe(ai, &text);
    if (cis_ai_ready(ai, &err) != CIS_OK) {
        bool none = strcmp(c->ai_provider, "none") == 0;
        say(d, none ? NOTE : BAD, "ai", cis_buf_cstr(&text), err.msg);
    } else {
        say(d, OK, "ai", cis_buf_cstr(&text), NULL);
    }
}

static void native(struct doctor *d)
{
    struct cis_error err = {0};
    CIS_CLEANUP(cis_freep) char *place = cis_path_join(cis_app_data_dir(d->app), "exec");
    if (place == NULL || cis_file_mkdirs(place, 0700, &err) != CIS_OK) {
        return; /* what is wrong with that folder is said of it */
    }
    if (cis_exec_ready(d->cli->program, place, &err) == CIS_OK) {
        say(d, OK, "exec", "bubblewrap, FUSE, user namespaces", NULL);
    } else {
        say(d, NOTE, "exec", "not available", err.msg);
    }
}

static int run(struct cis_cli *cli)
{
    struct cis_error err = {0};
    struct doctor d = {.cli = cli};
    if (cis_app_open(cli, &d.app, &err) != CIS_OK) {
        return cis_cli_fail(cli, &err);
    }
    const struct cis_config *c = cis_app_config(d.app);
    if (cli->json) {
        cis_cli_list_after(CIS_JSON(CIS_J("version", CIS_VERSION)), "checks");
    } else {
        cis_cli_printf("cis %s\n", CIS_VERSION);
    }
    engine(&d);
    cpu(&d);
    maps(&d);
    store(&d);
    folder(&d, "data", c->data_dir);
    folder(&d, "cache", c->cache_dir);
    folder(&d, "config", c->config_dir);
    services(&d);
    native(&d);
    cis_cli_list_end(CIS_JSON(CIS_J("bad", d.bad)));
    cis_app_close(d.app);
    return d.bad == 0 ? 0 : cis_code_skill_exit(CIS_E_IO);
}

const struct cis_cli_command cis_cmd_doctor = {.name = "doctor", .run = run};
