/* `cis cache list|clear|prune`: the on-disk cache of compiled code. */
#include "cli/app.h"

#include <inttypes.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"

struct listing {
    bool json;
    uint64_t bytes, n;
};

static int list_entry(void *self, const struct cis_cache_entry *e)
{
    struct listing *l = self;
    char used[32];
    cis_clock_iso(e->used_ms, used);
    if (l->json) {
        cis_cli_item(
            CIS_JSON(CIS_J("module", e->name), CIS_J("bytes", e->bytes), CIS_J("used", used)));
    } else {
        cis_cli_printf("%s  %10" PRIu64 "  %s\n", e->name, e->bytes, used);
    }
    l->n++;
    l->bytes += e->bytes;
    return 0;
}

typedef cis_code cache_verb(const struct cis_cli *cli, const struct cis_config *config,
                            const char *dir, struct cis_error *err);

static cis_code list_verb(const struct cis_cli *cli, const struct cis_config *config,
                          const char *dir, struct cis_error *err)
{
    (void)config;
    struct listing l = {.json = cli->json};
    cis_cli_list(cli, "entries");
    CIS_TRY(cis_cache_list(dir, list_entry, &l, err));
    if (cli->json) {
        cis_cli_list_end(CIS_JSON(CIS_J("bytes", l.bytes)));
    } else {
        cis_cli_printf("%" PRIu64 " entries, %" PRIu64 " bytes\n", l.n, l.bytes);
    }
    return CIS_OK;
}

static void told(const struct cis_cli *cli, uint64_t bytes)
{
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("removed_bytes", bytes)));
    } else {
        cis_cli_printf("removed %" PRIu64 " bytes\n", bytes);
    }
}

static cis_code clear_verb(const struct cis_cli *cli, const struct cis_config *config,
                           const char *dir, struct cis_error *err)
{
    (void)config;
    uint64_t bytes = 0;
    CIS_TRY(cis_cache_clear(dir, &bytes, err));
    told(cli, bytes);
    return CIS_OK;
}

static cis_code prune_verb(const struct cis_cli *cli, const struct cis_config *config,
                           const char *dir, struct cis_error *err)
{
    uint64_t bytes = 0, max = config->cache_max;
    if (!cis_cli_size(cli, "max", &max)) {
        return cis_fail(err, CIS_E_USAGE, "--max: not a size");
    }
    CIS_TRY(cis_cache_prune(dir, max, &bytes, err));
    told(cli, bytes);
    return CIS_OK;
}

static int with_cache(struct cis_cli *cli, cache_verb *verb)
{
    struct cis_error err = {0};
    cis_app *app = NULL;
    cis_code code = cis_app_open(cli, &app, &err);
    if (code == CIS_OK) {
        CIS_CLEANUP(cis_freep) char *dir = cis_path_join(cis_app_cache_dir(app), "code");
        code = dir != NULL ? verb(cli, cis_app_config(app), dir, &err)
                           : cis_fail(&err, CIS_E_NOMEM, "out of memory");
    }
    cis_app_close(app);
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static int run_list(struct cis_cli *cli)
{
    return with_cache(cli, list_verb);
}

static int run_clear(struct cis_cli *cli)
{
    return with_cache(cli, clear_verb);
}

static int run_prune(struct cis_cli *cli)
{
    return with_cache(cli, prune_verb);
}

const struct cis_cli_command cis_cmd_cache_list = {.name = "cache list", .run = run_list};

const struct cis_cli_command cis_cmd_cache_clear = {.name = "cache clear", .run = run_clear};

static const struct cis_cli_option prune_options[] = {{"max", 0, "SIZE", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_cache_prune = {
    .name = "cache prune", .options = prune_options, .run = run_prune};
