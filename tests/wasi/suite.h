/* Runs a guest of the suite as libcis does, and reads what it says. One thread a run. */
#ifndef CIS_TESTS_WASI_SUITE_H
#define CIS_TESTS_WASI_SUITE_H

#include "run/run.h"
#include "wasi/place.h"

#define SUITE_ARGS 5

struct suite_how {
    const char *file;             /* "files": guests/wasi_files.wasm */
    const char *args[SUITE_ARGS]; /* after the program's name */
    const char *const *env;
    const struct cis_run_mount *mounts;
    size_t nmounts;
    bool read_only;
    const char *input;           /* on stdin */
    struct cis_host_stream *std; /* other streams instead: three */
    const int *listeners;
    size_t nlisteners;
    uint64_t fuel, memory_bytes, host_bytes, time_ns; /* 0: what does for all guests */
    uint32_t files_max;
    bool trap_unknown;
};

struct suite_result {
    struct cis_run_outcome outcome;
    char *text; /* of stdout; owned */
};

/* The engine, once in a program. adapter: NULL, or the version of WASI 0.2 whose adapter makes a
 * component of every guest first. */
void suite_start(const char *adapter);
void suite_stop(void);
cis_engine *suite_engine(void);
const char *suite_adapter(void);
/* Compiled once in a program. */
cis_engine_module *suite_image(const char *file, bool fuel);
/* The code that no run was made with, or CIS_OK with an outcome. */
cis_code suite_try(const struct place *place, const struct suite_how *how, struct suite_result *out,
                   struct cis_error *err);
/* There is an outcome, or the test fails. */
void suite_run(const struct place *place, const struct suite_how *how, struct suite_result *out);
void suite_done(struct suite_result *result);

/* The same program for Linux, in this folder; args end with NULL, env too, or it is NULL. Its
 * output; owned. */
char *suite_linux(const char *name, const char *const *args, const char *const *env,
                  const char *folder);

/* A case that no component made with an adapter passes, and how it ends. */
struct adapted {
    const char *guest, *backends, *versions, *name;
    cis_code code;    /* of the run */
    const char *says; /* of CIS_E_FAILED: in the line of the case; else: in the message */
};
/* The i-th case of this guest that no component of this run's adapter can do (adapted.def), or
 * NULL. */
const struct adapted *suite_adapted(enum backend backend, const char *guest, size_t i);

/* Every line begins with a case's name. Compares, line by line where `wanted` is given, and else by
 * "ok" and "not ok"; fails with what differs unless exceptions.def lists it, and fails when what it
 * lists is not so. */
void suite_check(enum backend backend, const char *guest, const char *got, const char *wanted);
/* What this process holds in memory now. */
long suite_resident_kib(void);

#endif
