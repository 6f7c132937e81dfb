/* fsck: planted damage is named, for each state that shows it; many states are checked by what they
 * change, and nothing is found less. CIS_FSCK_ANCESTORS, CIS_FSCK_FORKS: for the time that it
 * takes. CIS_FSCK_ROUNDS: of random damage. */
#include "fixture.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "history/maintain.h"
#include "store/calls.h"

static bool note_fault(void *self, const struct cis_fault *f)
{
    cis_buf_printf(self, "%s %.*s: %.*s\n", f->what, (int)f->path.len, f->path.ptr,
                   (int)f->text.len, f->text.ptr);
    return true;
}

static void fsck_says(struct fx *fx, bool data, const char *expected)
{
    struct cis_fsck_counts counts;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    assert_ok(cis_history_fsck(&fx->h, data, note_fault, &text, &counts, err));
    assert_true(counts.faults > 0);
    if (strstr(cis_buf_cstr(&text), expected) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", cis_buf_cstr(&text), expected);
    }
}

static void delete_row(struct fx *fx, enum cis_fs_table table, uint64_t ino, const char *name)
{
    struct cis_view head = fx_head(fx, "main");
    struct cis_fs_key key = {.table = table, .branch = head.branch, .ino = ino};
    key.name = cis_str_of(name != NULL ? name : "");
    for (key.epoch = 0; key.epoch <= head.epoch; key.epoch++) { /* whichever wrote it */
        assert_ok(cis_store_squash(fx->store, fx->h.tenant,
                                   &(struct cis_fs_squash_request){head.branch, 0, &key, 1}, NULL,
                                   err));
    }
    usleep(150000); /* reads of a state may go on in one transaction for 100 ms */
}

static void plant(struct fx *fx)
{
    fx_big(fx, "main", "d/big", 1);
    fx_text(fx, "main", "d/small", "1");
    fx_text(fx, "main", "d/e/x", "1");
    fx_link(fx, "main", "d/small", "second");
}

static void fsck_finds_a_name_without_a_file(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    delete_row(fx, CIS_FS_INODES, fx_ino(fx, "main", "d/big"), NULL);
    fsck_says(fx, false, "name d/big: main: its file does not exist");
}

static void fsck_finds_a_file_without_a_name(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    delete_row(fx, CIS_FS_DIRENTS, fx_ino(fx, "main", "d"), "big");
    fsck_says(fx, false, "it has no name");
}

static void fsck_finds_a_wrong_link_count(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    delete_row(fx, CIS_FS_DIRENTS, CIS_FS_ROOT, "second");
    fsck_says(fx, false, "file d/small: main: link count 2, 1 names");
}

static void fsck_finds_a_wrong_number_of_subdirectories(void **state)
{
    struct fx *fx = *state;
    plant(fx);
    delete_row(fx, CIS_FS_DIRENTS, fx_ino(fx, "main", "d"), "e");
    fsck_says(fx, false, "directory d: main: link count 3, 0 subdirectories");
}

static bool take_ids(void *self, const struct cis_fs_chunk_info *info)
{
    struct numbers *v = self;
    return cis_numbers_add(v, info->id, NULL) == CIS_OK;
}

static void fsck_names_the_file_whose_content_is_not_there(void **state)
{
    struct fx *fx = *state;
    struct numbers ids = {0};
    uint64_t removed;
    plant(fx);
    assert_ok(cis_store_chunk_list(fx->store, fx->h.tenant, &(struct cis_fs_chunk_query){0, 100},
                                   take_ids, &ids, NULL, err));
    assert_ok(cis_store_chunk_remove(fx->store, fx->h.tenant,
                                     &(struct cis_fs_remove_request){&ids.at[1], 1, INT64_MAX},
                                     &removed, NULL, err));
    assert_int_equal(removed, 1);
    fsck_says(fx, false, "chunk d/big: branch 1: bytes 65536 to 131071: chunk");
    cis_numbers_done(&ids);
}

/* Flips a byte in the middle of every file of the store that is named so. */
static int flip(const char *dir, const char *suffix)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        size_t len = strlen(e->d_name), tail = strlen(suffix);
        if (e->d_name[0] == '.' || stat(path, &st) != 0) {
            continue;
        }
        if (S_ISDIR(st.st_mode)) {
            n += flip(path, suffix);
        } else if (len > tail && strcmp(e->d_name + len - tail, suffix) == 0 && st.st_size > 5000) {
            FILE *f = fopen(path, "r+b");
            fseek(f, st.st_size / 2, SEEK_SET);
            int c = fgetc(f);
            fseek(f, st.st_size / 2, SEEK_SET);
            fputc(c ^ 0x40, f);
            fclose(f);
            n++;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static void fsck_with_data_names_the_file_with_a_flipped_bit(void **state)
{
    struct fx *fx = *state;
    struct cis_fsck_counts counts;
    if (!fx_is_sqlite()) {
        skip(); /* a server's files are its own: its checksums are tested with it */
    }
    plant(fx);
    fx_big(fx, "main", "d/other", 2);
    cis_store_close(fx->store);
    assert_int_equal(flip(fx->dir, ".chunks"), 1);
    fx_open(fx, fx->dir);
    assert_ok(cis_history_fsck(&fx->h, false, NULL, NULL, &counts, err));
    assert_int_equal(counts.faults, 0); /* names and counts are whole */
    fsck_says(fx, true, "is damaged");
    fsck_says(fx, true, "chunk d/");
}

/* A state that is rolled back is left to the reflog, and what goes on is one branch deeper. */
static void leave_states(struct fx *fx, int n)
{
    for (int i = 0; i < n; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d", i);
        fx_text(fx, "main", "goes-on", text);
        fx_text(fx, "main", "is-left", text);
        assert_ok(fx_back_to(fx, "main", "main~1", err));
    }
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    assert_true(given == NULL || (cis_str_u64(cis_str_of(given), &otherwise) && otherwise <= 950));
    return otherwise;
}

static const struct cis_store_fs_ops *real_fs;
static struct {
    uint64_t branch[2000];
    size_t n;
} scanned;

static cis_code scan_noted(cis_store *s, struct cis_str tenant,
                           const struct cis_fs_scan_query *query, cis_fs_row_each *each, void *self,
                           const struct cis_stop *stop, struct cis_error *why)
{
    if (query->table == CIS_FS_INODES) {
        assert_true(scanned.n < 2000);
        scanned.branch[scanned.n++] = query->branch;
    }
    return real_fs->scan(s, tenant, query, each, self, stop, why);
}

static void fsck_reads_the_files_of_a_branch_once_for_all_states(void **state)
{
    struct fx *fx = *state;
    struct cis_store_fs_ops noted = *fx->store->fs;
    struct cis_fsck_counts counts;
    uint64_t n = from_env("CIS_FSCK_ANCESTORS", 12); /* for the time that it takes */
    uint64_t forks = from_env("CIS_FSCK_FORKS", 3);
    plant(fx);
    leave_states(fx, (int)n);
    for (uint64_t i = 0; i < forks; i++) {
        char name[32];
        snprintf(name, sizeof name, "fork-%d", (int)i);
        fx_fork(fx, fx_head(fx, "main"), name);
        fx_text(fx, name, "d/own", name);
    }
    noted.scan = scan_noted;
    real_fs = fx->store->fs;
    fx->store->fs = &noted;
    scanned.n = 0;
    uint64_t begin = cis_clock_mono_ns(), cpu = cis_clock_thread_cpu_ns();
    assert_ok(cis_history_fsck(&fx->h, true, NULL, NULL, &counts, err));
    fx->store->fs = real_fs;
    printf("fsck of %llu states of %llu ancestors: %llu ms, %llu of them at work\n",
           (unsigned long long)counts.views, (unsigned long long)n,
           (unsigned long long)((cis_clock_mono_ns() - begin) / CIS_NS_PER_MS),
           (unsigned long long)((cis_clock_thread_cpu_ns() - cpu) / CIS_NS_PER_MS));
    assert_int_equal(counts.faults, 0);
    assert_int_equal(counts.views, (n < 100 ? n + 1 : 101) + forks);
    assert_int_equal(scanned.n, n + forks); /* the last one has no commit yet */
    for (size_t i = 0; i < scanned.n; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_true(scanned.branch[i] != scanned.branch[k]);
        }
    }
}

static void fsck_tells_what_is_wrong_in_an_ancestor_for_every_state_that_shows_it(void **state)
{
    struct fx *fx = *state;
    struct cis_fsck_counts counts;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    plant(fx);
    leave_states(fx, 1);
    struct cis_fs_key key = {.table = CIS_FS_DIRENTS,
                             .branch = 1,
                             .ino = fx_ino(fx, "main", "d"),
                             .name = CIS_STR("big")};
    for (key.epoch = 0; key.epoch < 20; key.epoch++) {
        assert_ok(cis_store_squash(fx->store, fx->h.tenant,
                                   &(struct cis_fs_squash_request){1, 0, &key, 1}, NULL, err));
    }
    usleep(150000);
    leave_states(fx, 2);
    assert_ok(cis_history_fsck(&fx->h, true, note_fault, &text, &counts, err));
    size_t unnamed = 0;
    for (const char *at = cis_buf_cstr(&text); (at = strstr(at, "it has no name")) != NULL; at++) {
        unnamed++;
    }
    assert_int_equal(counts.views, 4);
    assert_int_equal(unnamed, 4);
    assert_non_null(strstr(cis_buf_cstr(&text), "file : main: inode "));
    assert_non_null(strstr(cis_buf_cstr(&text), "file : reflog:main: inode "));
}

/* ---- random damage: the sweep against the walk ---- */
struct keys {
    struct {
        struct cis_fs_key key;
        char name[CIS_FS_NAME_MAX + 1];
    } at[4096];
    size_t n;
    enum cis_fs_table table;
};

static bool take_key(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                     const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct keys *k = self;
    (void)dirent;
    (void)inode;
    (void)extent;
    assert_true(k->n < 4096);
    k->at[k->n].key = *key;
    k->at[k->n].key.table = k->table;
    memcpy(k->at[k->n].name, key->name.len != 0 ? key->name.ptr : "", key->name.len);
    k->at[k->n].key.name.ptr = k->at[k->n].name;
    k->n++;
    return true;
}

/* Any row of any branch goes. */
static void damage(struct fx *fx, unsigned *seed)
{
    struct keys *k = calloc(1, sizeof *k);
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    assert_ok(cis_branches_load(&fx->h, &branches, err));
    for (size_t i = 0; i < branches.n; i++) {
        for (k->table = CIS_FS_DIRENTS; k->table <= CIS_FS_EXTENTS; k->table++) {
            assert_ok(
                cis_store_scan(fx->store, fx->h.tenant,
                               &(struct cis_fs_scan_query){k->table, branches.at[i].id, NULL, 0},
                               take_key, k, NULL, err));
        }
    }
    const struct cis_fs_key *key = &k->at[(size_t)rand_r(seed) % k->n].key;
    assert_ok(cis_store_squash(fx->store, fx->h.tenant,
                               &(struct cis_fs_squash_request){key->branch, 0, key, 1}, NULL, err));
    free(k);
    usleep(150000); /* reads of a state may go on in one transaction for 100 ms */
}

/* Branches of branches, files that grow and shrink, folders that move, names that go. */
static void grow(struct fx *fx, unsigned *seed)
{
    char ref[16] = "main", path[32], to[32];
    struct cis_fsck_counts counts;
    plant(fx);
    fx_mkdir(fx, "main", "f/g");
    for (int i = 0; i < 40; i++) {
        int what = rand_r(seed) % 8;
        snprintf(path, sizeof path, "d/n%d", i);
        snprintf(to, sizeof to, "f/n%d", i);
        if (what == 0) {
            char fork[16];
            snprintf(fork, sizeof fork, "b%d", i);
            fx_fork(fx, fx_head(fx, ref), fork);
            snprintf(ref, sizeof ref, "%s", rand_r(seed) % 3 != 0 ? fork : "main");
        } else if (what == 1) {
            snprintf(to, sizeof to, "s%d", i);
            fx_snapshot(fx, fx_head(fx, ref), to);
        } else if (what == 2) {
            fx_big(fx, ref, path, (unsigned)i);
            fx_text(fx, ref, path, rand_r(seed) % 2 != 0 ? "" : "short");
        } else if (what == 3) {
            fx_mkdir(fx, ref, path);
            fx_rename(fx, ref, path, to);
        } else if (what == 4) {
            fx_text(fx, ref, path, "x");
            fx_link(fx, ref, path, to);
        } else if (what == 5) {
            fx_text(fx, ref, path, "x");
            fx_remove(fx, ref, path);
        } else if (what == 6) {
            fx_big(fx, ref, "d/big", (unsigned)i);
        } else {
            fx_text(fx, ref, "d/e/x", path);
            fx_text(fx, "main", "d/e/x", path); /* there is one to go back by */
            assert_ok(fx_back_to(fx, "main", "main~1", err));
        }
    }
    assert_ok(cis_history_fsck(&fx->h, true, NULL, NULL, &counts, err));
    assert_int_equal(counts.faults, 0);
}

static bool no_sweep;
static cis_code scan_refused(cis_store *s, struct cis_str tenant,
                             const struct cis_fs_scan_query *query, cis_fs_row_each *each,
                             void *self, const struct cis_stop *stop, struct cis_error *why)
{
    if (no_sweep) { /* it comes first */
        no_sweep = false;
        return cis_fail(why, CIS_E_IO, "no room");
    }
    return real_fs->scan(s, tenant, query, each, self, stop, why);
}

static cis_code list_damaged(cis_store *s, struct cis_str tenant,
                             const struct cis_fs_list_query *query, cis_fs_dirent_each *each,
                             void *self, const struct cis_stop *stop, struct cis_error *why)
{
    (void)s, (void)tenant, (void)query, (void)each, (void)self, (void)stop;
    return cis_fail(why, CIS_E_DAMAGED, "a page of names");
}

static void a_folder_that_cannot_be_listed_is_a_finding(void **state)
{
    struct fx *fx = *state;
    struct cis_store_fs_ops damaged = *fx->store->fs;
    struct cis_fsck_counts counts;
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1u << 20);
    fx_text(fx, "main", "f", "0");
    real_fs = fx->store->fs;
    damaged.list = list_damaged;
    fx->store->fs = &damaged; /* one state is not swept, but walked through */
    assert_ok(cis_history_fsck(&fx->h, true, note_fault, &text, &counts, err));
    fx->store->fs = real_fs;
    assert_int_not_equal(counts.faults, 0);
    assert_non_null(strstr(cis_buf_cstr(&text), "cannot be listed: a page of names"));
}

static void many_states_are_checked_as_each_would_be_by_itself(void **state)
{
    struct fx *fx = *state;
    struct cis_store_fs_ops refused = *fx->store->fs;
    unsigned seed = test_seed();
    uint64_t rounds = from_env("CIS_FSCK_ROUNDS", 4), found = 0;
    real_fs = fx->store->fs;
    refused.scan = scan_refused;
    for (uint64_t i = 0; i < rounds; i++) {
        char tenant[16];
        snprintf(tenant, sizeof tenant, "t%d", (int)i);
        fx->h.tenant = cis_str_of(tenant);
        assert_ok(cis_store_tenant_create(fx->store, fx->h.tenant, 0, 0, NULL, err));
        grow(fx, &seed);
        for (int k = 0; k < 6; k++) {
            struct cis_fsck_counts swept, walked;
            CIS_CLEANUP(cis_buf_done) struct cis_buf a = CIS_BUF_INIT(1u << 20);
            CIS_CLEANUP(cis_buf_done) struct cis_buf b = CIS_BUF_INIT(1u << 20);
            damage(fx, &seed);
            assert_ok(cis_history_fsck(&fx->h, true, note_fault, &a, &swept, err));
            fx->store->fs = &refused;
            no_sweep = true;
            assert_ok(cis_history_fsck(&fx->h, true, note_fault, &b, &walked, err));
            fx->store->fs = real_fs;
            assert_false(no_sweep);
            assert_string_equal(cis_buf_cstr(&a), cis_buf_cstr(&b));
            assert_memory_equal(&swept, &walked, sizeof swept);
            found += swept.faults != 0;
        }
    }
    assert_true(found != 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)

static int run(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fsck_finds_a_name_without_a_file),
        TEST(fsck_finds_a_file_without_a_name),
        TEST(fsck_finds_a_wrong_link_count),
        TEST(fsck_finds_a_wrong_number_of_subdirectories),
        TEST(fsck_names_the_file_whose_content_is_not_there),
        TEST(fsck_with_data_names_the_file_with_a_flipped_bit),
        TEST(fsck_reads_the_files_of_a_branch_once_for_all_states),
        TEST(fsck_tells_what_is_wrong_in_an_ancestor_for_every_state_that_shows_it),
        TEST(a_folder_that_cannot_be_listed_is_a_finding),
        TEST(many_states_are_checked_as_each_would_be_by_itself),
    };
    return cmocka_run_group_tests_name("fsck", tests, NULL, NULL);
}

int main(void)
{
    return fx_run(run);
}
