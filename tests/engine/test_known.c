/* Loading compiled code from the cache without copies, and modules without reading them: every way
 * in which a file could pass for another one. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "engine/code/cache_dir.h"
#include "engine/code/code.h"
#include "engine/code/file_hash.h"
#include "fixture.h"

#define LATER (61 * CIS_NS_PER_S) /* a file is remembered when it was left alone for that long */

/* ---- pieces of code ---- */

#define CODE_BYTES ((5u << 20) + 17u) /* a second thread helps; the last piece is not full */
static const uint8_t key[CIS_MAC_KEY_BYTES] = {7, 1, 2};
static const uint8_t nonce[CIS_ARTEFACT_NONCE] = {3, 4};

struct code {
    uint8_t *bytes;
    int fd;
    uint8_t digest[CIS_MAC_BYTES];
};

static int code_setup(void **state)
{
    struct code *c = cis_zalloc(sizeof *c);
    c->bytes = cis_alloc(CODE_BYTES);
    cis_random_bytes(c->bytes, CODE_BYTES);
    c->fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(cis_fd_write_all(c->fd, "head", 4), 0);
    assert_int_equal(cis_fd_write_all(c->fd, c->bytes, CODE_BYTES), 0);
    assert_true(cis_artefact_digest(key, nonce, cis_bytes_of(c->bytes, CODE_BYTES), c->digest));
    *state = c;
    return 0;
}

static int code_teardown(void **state)
{
    struct code *c = *state;
    close(c->fd);
    cis_free(c->bytes);
    cis_free(c);
    return 0;
}

static bool same(const struct code *c, const uint8_t k[CIS_MAC_KEY_BYTES],
                 const uint8_t n[CIS_ARTEFACT_NONCE])
{
    struct cis_artefact a = CIS_ARTEFACT_INIT;
    uint8_t digest[CIS_MAC_BYTES];
    assert_true(cis_artefact_read(k, n, c->fd, 4, CODE_BYTES, &a, digest));
    cis_artefact_done(&a);
    return cis_mac_eq(digest, c->digest);
}

static void what_is_read_from_a_file_is_what_was_digested(void **state)
{
    struct code *c = *state;
    struct cis_artefact a = CIS_ARTEFACT_INIT;
    uint8_t digest[CIS_MAC_BYTES];
    assert_true(cis_artefact_read(key, nonce, c->fd, 4, CODE_BYTES, &a, digest));
    assert_memory_equal(digest, c->digest, sizeof digest);
    struct cis_bytes bytes = cis_artefact_bytes(&a);
    assert_int_equal(bytes.len, CODE_BYTES);
    assert_memory_equal(bytes.ptr, c->bytes, CODE_BYTES);
    cis_artefact_done(&a);
    cis_artefact_done(&a); /* and again */
}

static void what_was_verified_cannot_be_written_any_more(void **state)
{
    struct code *c = *state;
    struct cis_artefact a = CIS_ARTEFACT_INIT;
    uint8_t digest[CIS_MAC_BYTES];
    assert_true(cis_artefact_read(key, nonce, c->fd, 4, CODE_BYTES, &a, digest));
    assert_true(a.fd >= 0);
    assert_int_equal(pwrite(a.fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(a.fd, 1), -1);
    assert_int_equal(ftruncate(a.fd, CODE_BYTES + 1), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, a.fd, 0), MAP_FAILED);
    cis_artefact_done(&a);
}

static void a_byte_in_any_piece_changes_the_digest(void **state)
{
    struct code *c = *state;
    for (size_t at = 0; at < CODE_BYTES; at += 100003) {
        uint8_t other = c->bytes[at] ^ 0x10;
        assert_int_equal(pwrite(c->fd, &other, 1, (off_t)(4 + at)), 1);
        assert_false(same(c, key, nonce));
        assert_int_equal(pwrite(c->fd, c->bytes + at, 1, (off_t)(4 + at)), 1);
    }
    assert_true(same(c, key, nonce));
}

static void pieces_that_changed_places_change_the_digest(void **state)
{
    struct code *c = *state;
    size_t piece = 256u << 10;
    assert_int_equal(pwrite(c->fd, c->bytes, piece, (off_t)(4 + piece)), piece);
    assert_int_equal(pwrite(c->fd, c->bytes + piece, piece, 4), piece);
    assert_false(same(c, key, nonce));
}

static void another_key_or_nonce_gives_another_digest(void **state)
{
    struct code *c = *state;
    uint8_t k[CIS_MAC_KEY_BYTES], n[CIS_ARTEFACT_NONCE];
    memcpy(k, key, sizeof k);
    memcpy(n, nonce, sizeof n);
    k[31] ^= 1;
    n[31] ^= 1;
    assert_false(same(c, k, nonce));
    assert_false(same(c, key, n));
}

static void a_file_that_ends_early_is_not_taken(void **state)
{
    struct code *c = *state;
    struct cis_artefact a = CIS_ARTEFACT_INIT;
    uint8_t digest[CIS_MAC_BYTES];
    assert_int_equal(ftruncate(c->fd, CODE_BYTES), 0); /* four bytes less */
    assert_false(cis_artefact_read(key, nonce, c->fd, 4, CODE_BYTES, &a, digest));
    assert_int_equal(a.fd, -1);
    assert_false(cis_artefact_read(key, nonce, c->fd, 4, 0, &a, digest));
}

/* ---- hashes that are remembered ---- */

struct files {
    struct place *place;
    cis_engine *engine;
    char path[500];
    int fd;
    unsigned reads;
    struct cis_buf bytes;
};

/* ADD_WAT or SUB_WAT in a file that is large enough. */
static void write_module(struct files *f, const char *text)
{
    char *whole = cis_alloc(300000);
    memset(whole, ' ', 300000);
    memcpy(whole, text, strlen(text));
    int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(cis_fd_write_all(fd, whole, 300000), 0);
    close(fd);
    cis_free(whole);
}

static int files_setup(void **state)
{
    struct files *f = cis_zalloc(sizeof *f);
    place_setup((void **)&f->place);
    struct cis_engine_options options = place_options(f->place);
    assert_ok(cis_engine_open(&options, &f->engine, err));
    snprintf(f->path, sizeof f->path, "%s/module.wat", f->place->root);
    write_module(f, ADD_WAT);
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    f->bytes = CIS_BUF_INIT(1u << 20);
    *state = f;
    return 0;
}

static int files_teardown(void **state)
{
    struct files *f = *state;
    close(f->fd);
    cis_buf_done(&f->bytes);
    cis_engine_close(f->engine);
    int failed = place_teardown((void **)&f->place);
    cis_free(f);
    return failed;
}

/* Where files have no ctime of their own nothing is ever remembered. */
static void need_disk(const struct files *f)
{
    struct statfs fs;
    assert_int_equal(fstatfs(f->fd, &fs), 0);
    if (fs.f_type != 0xef53 && fs.f_type != 0x58465342 && (unsigned)fs.f_type != 0x9123683eu) {
        not_tested("ext4", "not on ext4, XFS or btrfs");
    }
}

static cis_code read_file(void *self, int fd, struct cis_bytes *out, struct cis_error *e)
{
    struct files *f = self;
    f->reads++;
    cis_buf_reset(&f->bytes);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    cis_code code = cis_file_read_fd(fd, "module", &f->bytes, e);
    *out = cis_buf_bytes(&f->bytes);
    return code;
}

/* By an engine that has nothing in memory: the answer of the module's add(5, 3) is not asked, its
 * hash tells which module it is. */
static void load(struct files *f, uint8_t out_sha256[CIS_SHA256_BYTES])
{
    struct cis_engine_options options = place_options(f->place);
    struct cis_engine_module_options o = {.name = "m"};
    cis_engine *engine;
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    assert_ok(cis_engine_module_load_file(engine, f->fd, &o, read_file, f, &image, err));
    memcpy(out_sha256, cis_engine_module_info(image)->sha256, CIS_SHA256_BYTES);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
}

static void now_hash(struct files *f, uint8_t out[CIS_SHA256_BYTES])
{
    struct cis_bytes bytes;
    assert_ok(read_file(f, f->fd, &bytes, err));
    f->reads = 0;
    cis_sha256(bytes, out);
}

/* As a load does it, at a time when the file was left alone for a minute. */
static void remember(struct files *f)
{
    struct stat st;
    uint8_t sha256[CIS_SHA256_BYTES];
    now_hash(f, sha256);
    assert_int_equal(fstat(f->fd, &st), 0);
    uint64_t now = (uint64_t)cis_clock_wall_ms() * CIS_NS_PER_MS;
    cis_file_hash_put(&f->engine->cache, f->fd, &st, now + LATER, sha256);
}

static bool known(struct files *f)
{
    uint8_t sha256[CIS_SHA256_BYTES];
    return cis_file_hash_get(&f->engine->cache, f->fd, sha256);
}

static void entry(const struct files *f, char out[600])
{
    struct stat st;
    assert_int_equal(fstat(f->fd, &st), 0);
    snprintf(out, 600, "%s/" CIS_CACHE_KNOWN "%llx-%llx", f->place->cache,
             (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

/* Until the file has another ctime than before: the clock of files has coarse ticks. */
static void change(struct files *f, const char *text)
{
    struct stat before, after;
    assert_int_equal(fstat(f->fd, &before), 0);
    do {
        write_module(f, text);
        const struct timespec times[2] = {before.st_atim, before.st_mtim};
        assert_int_equal(futimens(f->fd, times), 0);
        assert_int_equal(fstat(f->fd, &after), 0);
    } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
             after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void a_file_that_is_remembered_is_not_read_again(void **state)
{
    struct files *f = *state;
    need_disk(f);
    uint8_t first[CIS_SHA256_BYTES], second[CIS_SHA256_BYTES];
    load(f, first);
    assert_int_equal(f->reads, 1);
    remember(f);
    load(f, second);
    assert_int_equal(f->reads, 0);
    assert_memory_equal(first, second, sizeof first);
}

static void a_changed_file_of_the_same_size_and_mtime_is_read_again(void **state)
{
    struct files *f = *state;
    need_disk(f);
    uint8_t first[CIS_SHA256_BYTES], second[CIS_SHA256_BYTES], truth[CIS_SHA256_BYTES];
    load(f, first);
    remember(f);
    change(f, SUB_WAT);
    now_hash(f, truth);
    load(f, second);
    assert_int_equal(f->reads, 1);
    assert_memory_equal(second, truth, sizeof truth);
    assert_memory_not_equal(first, second, sizeof first);
}

static void a_file_that_was_changed_just_now_is_not_remembered(void **state)
{
    struct files *f = *state;
    uint8_t sha256[CIS_SHA256_BYTES];
    load(f, sha256);
    load(f, sha256);
    assert_int_equal(f->reads, 2);
    assert_false(known(f));
}

static void a_file_that_changed_while_it_was_read_is_not_remembered(void **state)
{
    struct files *f = *state;
    struct stat before;
    uint8_t sha256[CIS_SHA256_BYTES];
    assert_int_equal(fstat(f->fd, &before), 0);
    now_hash(f, sha256);
    change(f, SUB_WAT);
    uint64_t now = (uint64_t)cis_clock_wall_ms() * CIS_NS_PER_MS;
    cis_file_hash_put(&f->engine->cache, f->fd, &before, now + LATER, sha256);
    assert_false(known(f));
}

static void a_file_from_the_future_is_not_remembered(void **state)
{
    struct files *f = *state;
    struct stat st;
    uint8_t sha256[CIS_SHA256_BYTES] = {1};
    assert_int_equal(fstat(f->fd, &st), 0);
    cis_file_hash_put(&f->engine->cache, f->fd, &st, 1, sha256); /* the clock was set back */
    assert_false(known(f));
}

static void a_file_of_another_user_is_not_remembered(void **state)
{
    struct files *f = *state;
    if (geteuid() != 0) {
        not_tested("root", "only root can give a file away");
    }
    assert_int_equal(fchown(f->fd, 65534, 65534), 0);
    remember(f);
    assert_false(known(f));
}

static void a_changed_byte_in_what_is_remembered_is_forgotten(void **state)
{
    struct files *f = *state;
    need_disk(f);
    char path[600];
    entry(f, path);
    for (size_t at = 0; at < 136; at++) {
        remember(f);
        assert_true(known(f));
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
        assert_false(known(f));
        assert_int_equal(access(path, F_OK), -1);
    }
    remember(f);
    assert_int_equal(truncate(path, 135), 0);
    assert_false(known(f));
    remember(f);
    assert_int_equal(truncate(path, 137), 0);
    assert_false(known(f));
}

static void what_is_remembered_of_another_file_or_key_never_passes(void **state)
{
    struct files *f = *state;
    need_disk(f);
    char mine[600], other[600];
    remember(f);
    entry(f, mine);
    int first = f->fd;
    snprintf(f->path, sizeof f->path, "%s/other.wat", f->place->root);
    write_module(f, SUB_WAT);
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    close(first);
    entry(f, other);
    assert_int_equal(rename(mine, other), 0);
    assert_false(known(f));
    remember(f);
    assert_true(known(f));
    f->engine->cache.key[0] ^= 1;
    assert_false(known(f));
}

static void what_others_could_have_written_is_forgotten(void **state)
{
    struct files *f = *state;
    need_disk(f);
    char path[600], aside[600];
    entry(f, path);
    remember(f);
    assert_int_equal(chmod(path, 0620), 0);
    assert_false(known(f));
    remember(f);
    snprintf(aside, sizeof aside, "%s/aside", f->place->root);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_false(known(f));
    assert_int_equal(unlink(path), 0);
    if (geteuid() == 0) {
        remember(f);
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_false(known(f));
    } else {
        note_not_tested("root", __func__, "only root can give a file away");
    }
}

static void without_its_code_a_remembered_file_is_read(void **state)
{
    struct files *f = *state;
    need_disk(f);
    uint8_t sha256[CIS_SHA256_BYTES];
    remember(f); /* nothing is compiled yet */
    load(f, sha256);
    assert_int_equal(f->reads, 1);
}

static int count(void *self, const struct cis_cache_entry *e)
{
    (void)e;
    ++*(unsigned *)self;
    return 0;
}

static void clear_forgets_and_the_list_shows_code_alone(void **state)
{
    struct files *f = *state;
    need_disk(f);
    uint8_t sha256[CIS_SHA256_BYTES];
    unsigned n = 0;
    load(f, sha256);
    remember(f);
    assert_ok(cis_cache_list(f->place->cache, count, &n, err));
    assert_int_equal(n, 1);
    uint64_t freed;
    assert_ok(cis_cache_clear(f->place->cache, &freed, err));
    assert_false(known(f));
}

/* ---- what was made of other things ---- */

struct maker {
    const char *text;
    unsigned calls;
};

static cis_code make(void *self, struct cis_bytes *out, struct cis_error *e)
{
    struct maker *m = self;
    (void)e;
    m->calls++;
    *out = wat(m->text);
    return CIS_OK;
}

/* By an engine that has nothing in memory; how often it was made. */
static unsigned made(struct files *f, uint8_t of, const char *text)
{
    struct cis_engine_options options = place_options(f->place);
    struct cis_engine_module_options o = {.name = "m"};
    struct maker m = {.text = text};
    uint8_t parts[CIS_SHA256_BYTES] = {of}, sha256[CIS_SHA256_BYTES];
    cis_engine *engine;
    cis_engine_module *image = NULL;
    assert_ok(cis_engine_open(&options, &engine, err));
    assert_ok(cis_engine_module_load_made(engine, parts, &o, make, &m, &image, err));
    cis_sha256(wat(text), sha256);
    assert_memory_equal(cis_engine_module_info(image)->sha256, sha256, sizeof sha256);
    cis_engine_module_unref(image);
    cis_engine_close(engine);
    return m.calls;
}

static void what_was_made_of_the_same_things_is_not_made_again(void **state)
{
    struct files *f = *state;
    assert_int_equal(made(f, 1, ADD_WAT), 1);
    assert_int_equal(made(f, 1, ADD_WAT), 0);
    assert_int_equal(made(f, 2, SUB_WAT), 1); /* of other things */
    assert_int_equal(made(f, 2, SUB_WAT), 0);
    assert_int_equal(made(f, 1, ADD_WAT), 0);
}

static void without_its_code_or_what_is_remembered_it_is_made_again(void **state)
{
    struct files *f = *state;
    uint64_t freed;
    char path[600];
    assert_int_equal(made(f, 1, ADD_WAT), 1);
    assert_ok(cis_cache_clear(f->place->cache, &freed, err));
    assert_int_equal(made(f, 1, ADD_WAT), 1);
    assert_int_equal(made(f, 1, ADD_WAT), 0);
    snprintf(path, sizeof path, "%s/" CIS_CACHE_KNOWN "made-01%062d", f->place->cache, 0);
    for (off_t at = 0; at < 104; at += 13) { /* a byte of every field */
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t byte;
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        assert_int_equal(made(f, 1, ADD_WAT), 1);
    }
    assert_int_equal(chmod(path, 0622), 0); /* others could have written it */
    assert_int_equal(made(f, 1, ADD_WAT), 1);
}

#define C(f) cmocka_unit_test_setup_teardown(f, code_setup, code_teardown)
#define F(f) cmocka_unit_test_setup_teardown(f, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        C(what_is_read_from_a_file_is_what_was_digested),
        C(what_was_verified_cannot_be_written_any_more),
        C(a_byte_in_any_piece_changes_the_digest),
        C(pieces_that_changed_places_change_the_digest),
        C(another_key_or_nonce_gives_another_digest),
        C(a_file_that_ends_early_is_not_taken),
        F(a_file_that_is_remembered_is_not_read_again),
        F(a_changed_file_of_the_same_size_and_mtime_is_read_again),
        F(a_file_that_was_changed_just_now_is_not_remembered),
        F(a_file_that_changed_while_it_was_read_is_not_remembered),
        F(a_file_from_the_future_is_not_remembered),
        F(a_file_of_another_user_is_not_remembered),
        F(a_changed_byte_in_what_is_remembered_is_forgotten),
        F(what_is_remembered_of_another_file_or_key_never_passes),
        F(what_others_could_have_written_is_forgotten),
        F(without_its_code_a_remembered_file_is_read),
        F(what_was_made_of_the_same_things_is_not_made_again),
        F(without_its_code_or_what_is_remembered_it_is_made_again),
        F(clear_forgets_and_the_list_shows_code_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
