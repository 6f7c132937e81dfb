/* What tests of recorded runs share: a run is recorded, and played where nothing of it is. */
#ifndef CIS_TESTS_SYSTEM_REPLAY_H
#define CIS_TESTS_SYSTEM_REPLAY_H

#include "system/system.h"

#include <sys/stat.h>
#include "recording_file.h"

#define GUEST(name) CIS_GUESTS_DIR "/" name ".wasm"

/* What a run said, kept beyond the next one. */
struct said {
    char *out, *err;
    size_t out_len;
    int exit;
};

static inline struct said take(const struct sys *s, int exit)
{
    struct said one = {.out_len = s->last.output.len, .exit = exit, .err = strdup(sys_err(s))};
    one.out = malloc(one.out_len + 1);
    memcpy(one.out, sys_out(s), one.out_len + 1);
    return one;
}

static inline void said_done(struct said *one)
{
    free(one->out);
    free(one->err);
}

static inline char *recording_of(const struct sys *s)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/run.recording", s->home);
    return path;
}

/* Replays in a home where nothing is: no store, no skills, no configuration. */
static inline int replay_elsewhere(struct sys *s)
{
    struct cis_bytes input = s->input;
    char *home = s->home, elsewhere[4200], store[4300], recording[4300];
    struct stat st;
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", home);
    snprintf(store, sizeof store, "%s/data/catalogue.db", elsewhere);
    snprintf(recording, sizeof recording, "%s", recording_of(s));
    s->home = elsewhere;
    s->input = (struct cis_bytes){0};
    int exit = cis(s, "replay", recording);
    s->home = home;
    s->input = input;
    assert_int_not_equal(stat(store, &st), 0);
    return exit;
}

/* The run that was just made with --record is the same again. A failure is told in other words. */
static inline void assert_same(struct sys *s, int expected, int exit)
{
    assert_exit(s, expected, exit);
    struct said first = take(s, exit);
    assert_exit(s, expected, replay_elsewhere(s));
    assert_int_equal(s->last.output.len, first.out_len);
    assert_memory_equal(sys_out(s), first.out, first.out_len);
    if (expected == 0) {
        assert_string_equal(sys_err(s), first.err);
    }
    said_done(&first);
}

#define RECORD(s, ...) cis(s, "skill", "run", "--record", recording_of(s), "--wasm", __VA_ARGS__)
#define RUN(s, ...) cis(s, "run", "--record", recording_of(s), __VA_ARGS__)

/* --dir FOLDER::/d in the test's home, made; valid until the next call. */
static inline const char *folder(const struct sys *s, const char *name, const char *mode)
{
    static char text[4300];
    snprintf(text, sizeof text, "%s/%s", s->home, name);
    assert_ok(cis_file_mkdirs(text, 0700, err));
    snprintf(text, sizeof text, "%s/%s::/d%s", s->home, name, mode);
    return text;
}

/* Other bytes in a recording at the first `most` places where they are, under right checksums. */
static inline void edit_some(const struct sys *s, const char *from, const char *to, unsigned most)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf file = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf bytes = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(64u << 20);
    assert_ok(cis_file_read(recording_of(s), &file, err));
    recording_unframe(&file, &bytes);
    uint8_t *at = memmem(bytes.ptr, bytes.len, from, strlen(from));
    assert_non_null(at);
    for (; at != NULL && most > 0; most--) {
        memcpy(at, to, strlen(to));
        at = memmem(at, (size_t)(bytes.ptr + bytes.len - at), from, strlen(from));
    }
    recording_put_frames(file.ptr, bytes.ptr, bytes.len, &out);
    assert_ok(cis_file_write(recording_of(s), cis_buf_bytes(&out), 0600, err));
}

static inline void edit(const struct sys *s, const char *from, const char *to)
{
    edit_some(s, from, to, 1);
}

#endif
