/* The two tables from the one list. */
#include "wasi/p1/internal.h"
#include "wasi/p1/p1.h"

#define ROW(module_, name_, handler_, type_, grant_, cost_, params_, doc_)                         \
    {.module = (module_),                                                                          \
     .name = #name_,                                                                               \
     .type = (type_),                                                                              \
     .grant = CIS_GRANT_##grant_,                                                                  \
     .cost = (cost_),                                                                              \
     .denied = CIS_WASI_NOTCAPABLE,                                                                \
     .handler = cis_wasi_##handler_,                                                               \
     .params = (params_),                                                                          \
     .doc = (doc_)},

#define NEW_MODULE "wasi_snapshot_preview1"
#define OLD_MODULE "wasi_unstable"

static const struct cis_hostfn new_rows[] = {
#define BOTH(n, t, g, c, p, d) ROW(NEW_MODULE, n, n, t, g, c, p, d)
#define SPLIT(n, t, g, c, p, d) ROW(NEW_MODULE, n, n, t, g, c, p, d)
#define NEW(n, t, g, c, p, d) ROW(NEW_MODULE, n, n, t, g, c, p, d)
#include "wasi/p1/table.def"
#undef BOTH
#undef SPLIT
#undef NEW
};

static const struct cis_hostfn old_rows[] = {
#define BOTH(n, t, g, c, p, d) ROW(OLD_MODULE, n, n, t, g, c, p, d)
#define SPLIT(n, t, g, c, p, d) ROW(OLD_MODULE, n, n##_old, t, g, c, p, d)
#define NEW(n, t, g, c, p, d)
#include "wasi/p1/table.def"
#undef BOTH
#undef SPLIT
#undef NEW
};

_Static_assert(sizeof new_rows / sizeof *new_rows == 46, "wasi_snapshot_preview1 has 46 functions");
_Static_assert(sizeof old_rows / sizeof *old_rows == 45, "wasi_unstable has 45 functions");

const struct cis_hostfn_table cis_wasi_p1_table = {
    .abi = NEW_MODULE, .rows = new_rows, .nrows = sizeof new_rows / sizeof *new_rows};
const struct cis_hostfn_table cis_wasi_unstable_table = {
    .abi = OLD_MODULE, .rows = old_rows, .nrows = sizeof old_rows / sizeof *old_rows};
