/* A process that is stopped past the time of its pin, and one that is killed: what the first stored
 * stays whatever gc does meanwhile, what the second stored goes. */
#include "fixture.h"
#include "waits.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "history/maintain.h"
#include "store/chunk.h"
#include "store/postgres/postgres.h"
#include "store/sqlite/sqlite.h"
#include "tools/pgcluster.h"
#include "store/calls.h"

#define PIN_MS 400u
#define BYTES 60000

static cis_store *open_at(const char *place)
{
    cis_store *s = NULL;
    if (cis_store_postgres_is_url(cis_str_of(place))) {
        assert_ok(cis_store_postgres_open(place, NULL, &s, NULL, err));
    } else {
        assert_ok(cis_store_sqlite_open(place, &s, err));
    }
    return s;
}

static uint64_t spill(cis_store *s, struct cis_str tenant)
{
    static uint8_t content[BYTES], packed[CIS_CHUNK_PACKED_MAX];
    struct cis_tenant t;
    struct cis_fs_chunk chunk;
    cis_chunk_codec *codec = NULL;
    uint64_t id = 0;
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    assert_ok(cis_store_tenant_get(s, tenant, &t, NULL, err));
    assert_ok(cis_chunk_codec_new(&codec, err));
    struct cis_bytes bytes = {content, sizeof content};
    cis_chunk_hash(t.key, bytes, chunk.hash);
    chunk.packed = (struct cis_bytes){packed, cis_chunk_pack(codec, bytes, false, packed)};
    assert_ok(cis_store_chunk_put(s, tenant, &(struct cis_fs_put_request){&chunk, 1, false}, &id,
                                  NULL, err));
    cis_chunk_codec_free(codec);
    return id;
}

/* The other process: stores what a later commit is to name, and is stopped. 0: it still has its pin
 * when it goes on; 3: it had lapsed. */
static int sleeper(const char *place, bool held)
{
    struct cis_str t = CIS_STR("t");
    struct cis_fs_ref ref;
    uint64_t pin = 0;
    uint32_t time = PIN_MS | (held ? CIS_FS_PIN_HELD : 0);
    assert_ok(cis_crypto_init(err));
    cis_store *s = open_at(place);
    assert_ok(cis_store_ref_get(s, t, CIS_STR("main"), &ref, NULL, err));
    assert_ok(
        cis_store_pin(s, t, &(struct cis_fs_pin_request){ref.head, 0, time}, &pin, NULL, err));
    printf("%llu\n", (unsigned long long)spill(s, t));
    fflush(stdout);
    raise(SIGSTOP);
    cis_code code =
        cis_store_pin(s, t, &(struct cis_fs_pin_request){ref.head, pin, time}, &pin, NULL, NULL);
    cis_store_close(s);
    return code == CIS_OK ? 0 : code == CIS_E_EXPIRED ? 3 : 1;
}

struct other {
    pid_t pid;
    uint64_t chunk;
};

/* Returns when it is stopped and its pin's time is over. */
static struct other other_new(struct fx *fx, const char *how)
{
    int out[2], status;
    char line[32] = "";
    assert_int_equal(pipe(out), 0);
    struct other o = {fork(), 0};
    if (o.pid == 0) {
        dup2(out[1], 1);
        execl("/proc/self/exe", "asleep", how, fx_is_sqlite() ? fx->dir : fx->url, NULL);
        _exit(127);
    }
    close(out[1]);
    assert_true(read(out[0], line, sizeof line - 1) > 0);
    close(out[0]);
    o.chunk = strtoull(line, NULL, 10);
    assert_int_equal(waitpid(o.pid, &status, WUNTRACED), o.pid);
    assert_true(WIFSTOPPED(status));
    usleep((PIN_MS + 100) * 1000);
    return o;
}

static int go_on(const struct other *o)
{
    int status;
    kill(o->pid, SIGCONT);
    assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool note(void *self, const struct cis_fs_chunk_info *info)
{
    uint64_t *found = self;
    *found = info->id;
    return false;
}

static bool kept_by_gc(struct fx *fx, const struct other *o)
{
    struct cis_retention keep = {.runs = 1, .grace_ms = 1};
    struct cis_gc_counts out;
    uint64_t found = 0;
    assert_ok(cis_history_gc(&fx->h, &keep, &out, err));
    assert_ok(cis_store_chunk_list(fx->store, fx->h.tenant,
                                   &(struct cis_fs_chunk_query){o->chunk - 1, 1}, note, &found,
                                   NULL, err));
    return found == o->chunk;
}

/* The kernel, or the server, has seen the end of the process by then. */
static void assert_freed(struct fx *fx, const struct other *o)
{
    assert_comes(!kept_by_gc(fx, o));
}

static void what_a_stopped_process_stored_outlives_its_pins_time(void **state)
{
    struct fx *fx = *state;
    struct other o = other_new(fx, "held");
    for (int i = 0; i < 3; i++) {
        assert_true(kept_by_gc(fx, &o));
    }
    /* Another one's pins come and go: none of them takes the stopped one's along. */
    struct cis_history_pin mine;
    assert_ok(cis_history_pin(&fx->h, fx_head(fx, "main"), &mine, err));
    cis_history_pin_drop(&fx->h, &mine);
    assert_true(kept_by_gc(fx, &o));
    assert_int_equal(go_on(&o), 0);
}

static void what_a_killed_process_stored_goes_when_its_pin_lapsed(void **state)
{
    struct fx *fx = *state;
    struct other o = other_new(fx, "held");
    assert_true(kept_by_gc(fx, &o));
    kill(o.pid, SIGKILL);
    assert_int_equal(waitpid(o.pid, NULL, 0), o.pid);
    assert_freed(fx, &o);
}

static void a_pin_that_nobody_holds_lapses_in_its_time(void **state)
{
    struct fx *fx = *state;
    struct other o = other_new(fx, "timed");
    assert_false(kept_by_gc(fx, &o));
    assert_int_equal(go_on(&o), 3);
}

/* As after a sleep that the server did not wait for. */
static void a_stopped_process_that_lost_its_connection_is_told_so(void **state)
{
    struct fx *fx = *state;
    if (fx_is_sqlite()) {
        return;
    }
    struct other o = other_new(fx, "held");
    assert_true(kept_by_gc(fx, &o));
    pgcluster_run(fx_cluster(), "postgres",
                  "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
    assert_freed(fx, &o);
    assert_int_equal(go_on(&o), 3);
}

static void a_pin_that_is_dropped_is_held_no_more(void **state)
{
    struct fx *fx = *state;
    cis_store *s = fx->store;
    for (int i = 0; i < 3; i++) {
        uint64_t pin = 0;
        struct cis_view head = fx_head(fx, "main");
        assert_ok(cis_store_pin(s, fx->h.tenant,
                                &(struct cis_fs_pin_request){head, 0, CIS_FS_PIN_HELD | PIN_MS},
                                &pin, NULL, err));
        if (i == 1) { /* its time is over: it is there for who holds it */
            usleep((PIN_MS + 50) * 1000);
            assert_ok(cis_store_pin(
                s, fx->h.tenant, &(struct cis_fs_pin_request){head, pin, CIS_FS_PIN_HELD | PIN_MS},
                &pin, NULL, err));
        }
        assert_ok(cis_store_pin(s, fx->h.tenant, &(struct cis_fs_pin_request){head, pin, 0}, NULL,
                                NULL, err));
        assert_fails(CIS_E_EXPIRED, "has expired",
                     cis_store_pin(s, fx->h.tenant,
                                   &(struct cis_fs_pin_request){head, pin, CIS_FS_PIN_HELD | 1000},
                                   &pin, NULL, err));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_stopped_process_stored_outlives_its_pins_time),
        TEST(what_a_killed_process_stored_goes_when_its_pin_lapsed),
        TEST(a_pin_that_nobody_holds_lapses_in_its_time),
        TEST(a_stopped_process_that_lost_its_connection_is_told_so),
        TEST(a_pin_that_is_dropped_is_held_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return argc == 3 ? sleeper(argv[2], strcmp(argv[1], "held") == 0) : fx_run(run);
}
