/* An engine over a folder of its own, and modules made up by the tests. */
#ifndef CIS_TESTS_ENGINE_FIXTURE_H
#define CIS_TESTS_ENGINE_FIXTURE_H

#include <stdio.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/code/module.h"
#include "harness.h"

#define HELPER CIS_TEST_BUILD_DIR "/tests/engine_compile_helper"
#define ADD_WAT                                                                                    \
    "(module (memory (export \"memory\") 1)"                                                       \
    " (func (export \"add\") (param i32 i32) (result i32)"                                         \
    "  (i32.add (local.get 0) (local.get 1))))"
#define SUB_WAT                                                                                    \
    "(module (memory (export \"memory\") 1)"                                                       \
    " (func (export \"add\") (param i32 i32) (result i32)"                                         \
    "  (i32.sub (local.get 0) (local.get 1))))"

struct place { /* a folder with room for a cache and its key */
    char *root;
    char cache[400], key[400];
};

static inline int place_setup(void **state)
{
    struct place *p = cis_zalloc(sizeof *p);
    p->root = test_dir_new();
    snprintf(p->cache, sizeof p->cache, "%s/code", p->root);
    snprintf(p->key, sizeof p->key, "%s/key", p->root);
    *state = p;
    return 0;
}

static inline int place_teardown(void **state)
{
    struct place *p = *state;
    if (cis_file_remove_tree(p->root, NULL) != CIS_OK) {
        return 1;
    }
    free(p->root);
    cis_free(p);
    return 0;
}

static inline struct cis_engine_options place_options(const struct place *p)
{
    return (struct cis_engine_options){
        .pool_slots = 16, .cache_dir = p->cache, .cache_key = p->key, .compiler = HELPER};
}

static inline struct cis_bytes wat(const char *text)
{
    return cis_bytes_of(text, strlen(text));
}

static inline struct cis_engine_stats stats_of(cis_engine *engine)
{
    struct cis_engine_stats s;
    cis_engine_stats(engine, &s);
    return s;
}

#endif
