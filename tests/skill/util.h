/* Temporary folders, small modules and hand-made tar archives for the tests of skills. */
#ifndef CIS_TESTS_SKILL_UTIL_H
#define CIS_TESTS_SKILL_UTIL_H

#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "skill/package.h"
#include "store/sqlite/sqlite.h"
#include "store/calls.h"

#define TENANT CIS_STR("t1")

/* The smallest core module and the smallest component. */
static const uint8_t CORE[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
static const uint8_t COMPONENT[] = {0, 'a', 's', 'm', 0x0d, 0, 1, 0};

struct world {
    char root[64]; /* everything below */
    char data[96], config[96], work[96];
    struct cis_skill_home home;
};

static inline void put(const char *dir, const char *name, const void *data, size_t len)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(cis_file_mkdirs(path, 0700, err));
    *slash = '/';
    assert_ok(cis_file_write(path, cis_bytes_of(data, len), 0600, err));
}

static inline void put_text(const char *dir, const char *name, const char *text)
{
    put(dir, name, text, strlen(text));
}

static inline void world_open(struct world *w)
{
    snprintf(w->root, sizeof w->root, "/tmp/cis-skill-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->data, sizeof w->data, "%s/data", w->root);
    snprintf(w->config, sizeof w->config, "%s/config", w->root);
    snprintf(w->work, sizeof w->work, "%s/work", w->root);
    assert_ok(cis_file_mkdirs(w->work, 0700, err));
    w->home = (struct cis_skill_home){.data_dir = w->data,
                                      .config_dir = w->config,
                                      .policy = CIS_SIGNATURE_WARN,
                                      .stop = {CIS_NEVER, NULL}};
    assert_ok(cis_store_sqlite_open(w->data, &w->home.store, err));
}

static inline void world_close(struct world *w)
{
    cis_store_close(w->home.store);
    assert_ok(cis_file_remove_tree(w->root, err));
}

static inline int setup_world(void **state)
{
    struct world *w = cis_zalloc(sizeof *w);
    world_open(w);
    *state = w;
    return 0;
}

static inline int teardown_world(void **state)
{
    world_close(*state);
    cis_free(*state);
    return 0;
}

#endif
