/* Archives from strangers. Tar headers are written by hand: what a good tool would never write is
 * what has to be refused. */
#include "util.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

#define MANIFEST "[skill]\nname = \"x\"\nversion = \"1.0.0\"\n"

static void tar_header(struct cis_buf *tar, const char *name, char type, const char *link,
                       uint64_t size)
{
    char h[512] = {0};
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
    memcpy(h + 136, "00000000000", 12);
    h[156] = type;
    if (link != NULL) {
        memcpy(h + 157, link, strlen(link));
    }
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++) {
        sum += (unsigned char)h[i];
    }
    char text[8];
    snprintf(text, sizeof text, "%06o", sum & 0777777u);
    memcpy(h + 148, text, 7);
    cis_buf_add(tar, h, sizeof h);
}

static void tar_entry(struct cis_buf *tar, const char *name, char type, const char *link,
                      const void *data, size_t len)
{
    tar_header(tar, name, type, link, len);
    cis_buf_add(tar, data, len);
    static const char zeros[512];
    cis_buf_add(tar, zeros, (512 - len % 512) % 512);
}

static void tar_text(struct cis_buf *tar, const char *name, const char *text)
{
    tar_entry(tar, name, '0', NULL, text, strlen(text));
}

static void tar_end(struct cis_buf *tar)
{
    static const char zeros[1024];
    cis_buf_add(tar, zeros, sizeof zeros);
    assert_int_equal(tar->failed, CIS_OK);
}

/* A pax header that gives the next entry this path. */
static void tar_pax_path(struct cis_buf *tar, const char *path, size_t len)
{
    struct cis_buf record = CIS_BUF_INIT(4u << 20);
    size_t total = len + 8; /* " path=" + "\n" + two digits at least */
    char digits[32];
    snprintf(digits, sizeof digits, "%zu", total + 1);
    total = len + 7 + strlen(digits);
    cis_buf_printf(&record, "%zu path=", total);
    cis_buf_add(&record, path, len);
    cis_buf_byte(&record, '\n');
    tar_entry(tar, "pax", 'x', NULL, record.ptr, record.len);
    cis_buf_done(&record);
}

/* A skill that is fine, for the attack to be added to. */
static void good_skill(struct cis_buf *tar)
{
    tar_text(tar, "skill.toml", MANIFEST);
    tar_entry(tar, "skill.wasm", '0', NULL, CORE, sizeof CORE);
}

static cis_code stage(struct world *w, const char *name, struct cis_package *p,
                      struct cis_error *err)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", w->work, name);
    return cis_package_stage(&w->home, TENANT, path, (struct cis_str){NULL, 0}, p, err);
}

static cis_code stage_tar(struct world *w, struct cis_buf *tar, struct cis_package *p,
                          struct cis_error *err)
{
    put(w->work, "x.tar", tar->ptr, tar->len);
    return stage(w, "x.tar", p, err);
}

/* Nothing of a refused archive stays, neither in the staging place nor beside it. */
static void nothing_is_left(struct world *w)
{
    char path[256];
    snprintf(path, sizeof path, "%s/skills/t1/.incoming", w->data);
    assert_true(!cis_file_exists(path) || rmdir(path) == 0);
    snprintf(path, sizeof path, "%s/evil", w->root);
    assert_false(cis_file_exists(path));
    assert_false(cis_file_exists("/tmp/cis-evil"));
}

static void refused(struct world *w, struct cis_buf *tar, cis_code code, const char *text)
{
    struct cis_package p = CIS_PACKAGE_INIT;
    tar_end(tar);
    assert_fails(code, text, stage_tar(w, tar, &p, err));
    assert_int_equal(p.stage.dir, -1);
    nothing_is_left(w);
    cis_buf_done(tar);
}

static bool has_file(const struct cis_package *p, const char *path)
{
    for (size_t i = 0; i < p->nfiles; i++) {
        if (strcmp(p->files[i].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- happy ---- */

static void pack(const struct world *w, const char *name, const struct cis_buf *raw, int filter,
                 int times)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", w->work, name);
    struct archive *a = archive_write_new();
    for (int i = 0; i < times; i++) {
        assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
    }
    assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_pathname(e, "raw");
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, raw->ptr, raw->len), (la_ssize_t)raw->len);
    archive_entry_free(e);
    archive_write_close(a);
    archive_write_free(a);
}

static void tar_gzip_and_zstd_are_unpacked(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_entry(&tar, "data/", '5', NULL, "", 0);
    tar_text(&tar, "data/words.txt", "words");
    tar_text(&tar, "./data/more.txt", "more");
    tar_end(&tar);
    static const struct {
        const char *name;
        int filter, times;
    } kinds[] = {{"x.tar", 0, 0},
                 {"x.tar.gz", ARCHIVE_FILTER_GZIP, 1},
                 {"x.tgz", ARCHIVE_FILTER_GZIP, 1},
                 {"x.tar.zst", ARCHIVE_FILTER_ZSTD, 1}};
    char digest[65] = "";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        pack(w, kinds[i].name, &tar, kinds[i].filter, kinds[i].times);
        struct cis_package p = CIS_PACKAGE_INIT;
        assert_ok(stage(w, kinds[i].name, &p, err));
        assert_string_equal(p.name, "x");
        assert_int_equal(p.nfiles, 3);
        assert_true(has_file(&p, "data/words.txt") && has_file(&p, "data/more.txt"));
        assert_true(digest[0] == 0 || strcmp(digest, p.digest) == 0);
        memcpy(digest, p.digest, sizeof digest);
        cis_package_done(&p);
        nothing_is_left(w);
    }
    cis_buf_done(&tar);
}

static void a_skill_in_one_folder_of_the_archive_is_found(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    tar_text(&tar, "x-1.0/skill.toml", MANIFEST);
    tar_entry(&tar, "x-1.0/skill.wasm", '0', NULL, CORE, sizeof CORE);
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_ok(stage_tar(w, &tar, &p, err));
    assert_true(has_file(&p, "skill.wasm"));
    cis_package_done(&p);
    cis_buf_done(&tar);
}

static void hidden_files_are_left_out(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_text(&tar, ".git/config", "x");
    tar_text(&tar, "data/.secret", "x");
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_ok(stage_tar(w, &tar, &p, err));
    assert_int_equal(p.nfiles, 1);
    cis_package_done(&p);
    cis_buf_done(&tar);
}

static void names_beyond_ascii_are_kept_in_any_locale(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_text(&tar, "w\xc3\xb6rter.txt", "old header");
    tar_pax_path(&tar, "\xe6\x97\xa5.txt", 7);
    tar_text(&tar, "short", "pax header");
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_ok(stage_tar(w, &tar, &p, err));
    assert_true(has_file(&p, "w\xc3\xb6rter.txt"));
    assert_true(has_file(&p, "\xe6\x97\xa5.txt"));
    cis_package_done(&p);
    cis_buf_done(&tar);
}

/* ---- refused ---- */

static void names_that_leave_the_folder_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {
        "../evil",
        "../../../../../../tmp/cis-evil",
        "/tmp/cis-evil",
        "a/../../evil",
        "a/../b",
        "./../evil",
        "..",
        "//tmp/cis-evil",
        "a//b",
        "a/./b",
        "..\\evil",
        "a\nb",
        "a\x1b[2Jb",
        "a\x7f",
        "\xff\xfe",
        "a/",
        "\xc2\x85",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct cis_buf tar = CIS_BUF_INIT(1 << 20);
        good_skill(&tar);
        tar_text(&tar, names[i], "evil");
        refused(w, &tar, CIS_E_INVALID, "");
        struct cis_buf dir = CIS_BUF_INIT(1 << 20);
        if (names[i][strlen(names[i]) - 1] != '/') {
            good_skill(&dir);
            tar_entry(&dir, names[i], '5', NULL, "", 0);
            refused(w, &dir, CIS_E_INVALID, "");
        }
        struct cis_buf pax = CIS_BUF_INIT(1 << 20);
        good_skill(&pax);
        tar_pax_path(&pax, names[i], strlen(names[i]));
        tar_text(&pax, "harmless", "evil");
        refused(w, &pax, CIS_E_INVALID, "");
    }
}

static void a_nul_in_a_name_hides_nothing(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_pax_path(&tar, "ok.txt\0/../../evil", 19);
    tar_text(&tar, "short", "x");
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    struct cis_error err = {0};
    put(w->work, "x.tar", tar.ptr, tar.len);
    if (stage(w, "x.tar", &p, &err) == CIS_OK) { /* the name ends at the NUL, whatever follows */
        assert_int_equal(p.nfiles, 2);
        assert_true(has_file(&p, "ok.txt"));
    }
    cis_package_done(&p);
    nothing_is_left(w);
    cis_buf_done(&tar);
}

/* The reader would leave out the name that it cannot take and go on with the short one. What is
 * said names the archive, and the name or the header that holds it; the words are the reader's. */
static void refused_for_its_name(struct world *w, struct cis_buf *tar)
{
    static const char *const said[] = {"pax extended attribute", "header too large",
                                       "name cannot be read"};
    struct cis_package p = CIS_PACKAGE_INIT;
    struct cis_error why = {0};
    bool told = false;
    tar_end(tar);
    assert_int_equal(stage_tar(w, tar, &p, &why), CIS_E_INVALID);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        told = told || strstr(why.msg, said[i]) != NULL;
    }
    if (!told || strstr(why.msg, "x.tar: ") == NULL) {
        fail_msg("\"%s\" does not say what it is about", why.msg);
    }
    nothing_is_left(w);
    cis_buf_done(tar);
}

static void an_entry_whose_long_name_cannot_be_read_is_refused(void **state)
{
    struct world *w = *state;
    static const char *const records[] = {"99 path=abc\n", "12345678901 path=abc\n", "path=abc\n"};
    struct cis_buf name = CIS_BUF_INIT(4u << 20);
    for (size_t n = 990000; n < 1060000; n += 13000) {
        struct cis_buf tar = CIS_BUF_INIT(4u << 20);
        cis_buf_reset(&name);
        for (size_t i = 0; i < n; i++) {
            cis_buf_byte(&name, i % 100 == 99 ? '/' : 'a');
        }
        good_skill(&tar);
        tar_pax_path(&tar, (const char *)name.ptr, name.len);
        tar_text(&tar, "short", "x");
        if (n < 1000000) { /* this one can be read */
            refused(w, &tar, CIS_E_INVALID, "aaaa\" is not a path inside a skill");
        } else {
            refused_for_its_name(w, &tar);
        }
    }
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct cis_buf tar = CIS_BUF_INIT(1u << 20);
        good_skill(&tar);
        tar_entry(&tar, "pax", 'x', NULL, records[i], strlen(records[i]));
        tar_text(&tar, "short", "x");
        refused_for_its_name(w, &tar);
    }
    cis_buf_done(&name);
}

static void links_and_devices_are_refused(void **state)
{
    struct world *w = *state;
    static const struct {
        char type;
        const char *text;
    } kinds[] = {{'1', "hard link"},
                 {'2', "symbolic link"},
                 {'3', "device"},
                 {'4', "device"},
                 {'6', "device"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct cis_buf tar = CIS_BUF_INIT(1 << 20);
        good_skill(&tar);
        tar_entry(&tar, "thing", kinds[i].type, kinds[i].type <= '2' ? "skill.wasm" : NULL, "", 0);
        refused(w, &tar, CIS_E_INVALID, kinds[i].text);
        struct cis_buf hidden = CIS_BUF_INIT(1 << 20);
        good_skill(&hidden);
        tar_entry(&hidden, ".thing", kinds[i].type, "../evil", "", 0);
        refused(w, &hidden, CIS_E_INVALID, kinds[i].text);
    }
}

static void a_link_and_a_file_through_it_write_nowhere(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_entry(&tar, "out", '2', "../../../..", "", 0);
    tar_text(&tar, "out/evil", "evil");
    refused(w, &tar, CIS_E_INVALID, "symbolic link");
}

static void a_name_twice_or_in_other_case_is_refused(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *first, *second, *text;
    } pairs[] = {{"a.txt", "a.txt", "named twice"},
                 {"a.txt", "A.TXT", "differs only in case"},
                 {"d/x", "D/y", "differs only in case"},
                 {"d", "d/x", "named twice"},
                 {"d/x", "d", "named twice"},
                 {"./a.txt", "a.txt", "named twice"},
                 {"n.txt", "SKILL.wasm", "differs only in case"},
                 {"n.txt", "skill.toml", "named twice"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct cis_buf tar = CIS_BUF_INIT(1 << 20);
        good_skill(&tar);
        tar_text(&tar, pairs[i].first, "1");
        tar_text(&tar, pairs[i].second, "2");
        refused(w, &tar, CIS_E_INVALID, pairs[i].text);
    }
}

static void too_many_entries_are_refused_hidden_ones_too(void **state)
{
    struct world *w = *state;
    for (int hidden = 0; hidden < 2; hidden++) {
        struct cis_buf tar = CIS_BUF_INIT(64 << 20);
        good_skill(&tar);
        for (unsigned i = 0; i < CIS_PACKAGE_ENTRIES_MAX - 1; i++) {
            char name[32];
            snprintf(name, sizeof name, "%sf%u", hidden != 0 ? "." : "", i);
            tar_text(&tar, name, "");
        }
        refused(w, &tar, CIS_E_LIMIT, "more than 10000");
    }
}

static void the_last_entry_allowed_is_unpacked(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(64 << 20);
    good_skill(&tar);
    for (unsigned i = 0; i < CIS_PACKAGE_ENTRIES_MAX - 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%u", i);
        tar_text(&tar, name, "");
    }
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_ok(stage_tar(w, &tar, &p, err));
    assert_int_equal(p.nfiles, CIS_PACKAGE_ENTRIES_MAX - 1);
    cis_package_done(&p);
    cis_buf_done(&tar);
}

/* 300 MiB of zeros, 300 KiB packed. */
static void a_bomb_ends_at_the_limit(void **state)
{
    struct world *w = *state;
    static const int filters[] = {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
    static const char *const names[] = {"x.tar.gz", "x.tar.zst"};
    for (int f = 0; f < 2; f++) {
        for (int hidden = 0; hidden < 2; hidden++) {
            char path[256];
            snprintf(path, sizeof path, "%s/%s", w->work, names[f]);
            struct archive *a = archive_write_new();
            archive_write_add_filter(a, filters[f]);
            archive_write_set_format_ustar(a);
            assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
            struct archive_entry *e = archive_entry_new();
            archive_entry_set_filetype(e, AE_IFREG);
            archive_entry_set_pathname(e, hidden != 0 ? ".zeros" : "zeros");
            archive_entry_set_size(e, 300ll << 20);
            assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
            char *zeros = cis_zalloc(1 << 20);
            for (int i = 0; i < 300; i++) {
                assert_int_equal(archive_write_data(a, zeros, 1 << 20), 1 << 20);
            }
            cis_free(zeros);
            archive_entry_free(e);
            archive_write_close(a);
            archive_write_free(a);
            struct cis_package p = CIS_PACKAGE_INIT;
            assert_fails(CIS_E_LIMIT, "more than 268435456 bytes", stage(w, names[f], &p, err));
            nothing_is_left(w);
        }
    }
}

static void an_archive_packed_twice_is_refused(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(1 << 20);
    good_skill(&tar);
    tar_end(&tar);
    pack(w, "x.tar.gz", &tar, ARCHIVE_FILTER_GZIP, 2);
    struct cis_package p = CIS_PACKAGE_INIT;
    assert_fails(CIS_E_INVALID, "compressed more than once", stage(w, "x.tar.gz", &p, err));
    cis_buf_done(&tar);
}

static void a_truncated_or_damaged_archive_is_refused(void **state)
{
    struct world *w = *state;
    struct cis_buf tar = CIS_BUF_INIT(4 << 20);
    good_skill(&tar);
    char *data = cis_zalloc(100000);
    for (size_t i = 0; i < 100000; i++) {
        data[i] = (char)(i * 7919u >> 3);
    }
    tar_entry(&tar, "data", '0', NULL, data, 100000);
    cis_free(data);
    tar_end(&tar);
    struct cis_package p = CIS_PACKAGE_INIT;
    put(w->work, "x.tar", tar.ptr, tar.len - 60000);
    assert_fails(CIS_E_INVALID, "x.tar", stage(w, "x.tar", &p, err));
    pack(w, "x.tar.gz", &tar, ARCHIVE_FILTER_GZIP, 1);
    char path[256];
    snprintf(path, sizeof path, "%s/x.tar.gz", w->work);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
    assert_fails(CIS_E_INVALID, "x.tar.gz", stage(w, "x.tar.gz", &p, err));
    put(w->work, "x.tgz", "not an archive at all, only text", 32);
    assert_fails(CIS_E_INVALID, "x.tgz", stage(w, "x.tgz", &p, err));
    put(w->work, "x.tar", "", 0);
    assert_fails(CIS_E_INVALID, "x.tar", stage(w, "x.tar", &p, err));
    tar.ptr[0] ^= 1; /* the header's checksum no longer fits */
    put(w->work, "x.tar", tar.ptr, tar.len);
    assert_fails(CIS_E_INVALID, "x.tar", stage(w, "x.tar", &p, err));
    nothing_is_left(w);
    cis_buf_done(&tar);
}

static void a_folder_with_a_link_or_a_pipe_is_refused(void **state)
{
    struct world *w = *state;
    char path[256];
    struct cis_package p = CIS_PACKAGE_INIT;
    put_text(w->work, "s/skill.toml", MANIFEST);
    put(w->work, "s/skill.wasm", CORE, sizeof CORE);
    snprintf(path, sizeof path, "%s/s/link", w->work);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_fails(CIS_E_INVALID, "symbolic link", stage(w, "s", &p, err));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(CIS_E_INVALID, "pipe", stage(w, "s", &p, err));
    assert_int_equal(unlink(path), 0);
    assert_ok(stage(w, "s", &p, err));
    cis_package_done(&p);
    nothing_is_left(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_world, teardown_world)

int main(void)
{
    if (cis_crypto_init(NULL) != CIS_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(tar_gzip_and_zstd_are_unpacked),
        TEST(a_skill_in_one_folder_of_the_archive_is_found),
        TEST(hidden_files_are_left_out),
        TEST(names_beyond_ascii_are_kept_in_any_locale),
        TEST(the_last_entry_allowed_is_unpacked),
        TEST(names_that_leave_the_folder_are_refused),
        TEST(a_nul_in_a_name_hides_nothing),
        TEST(an_entry_whose_long_name_cannot_be_read_is_refused),
        TEST(links_and_devices_are_refused),
        TEST(a_link_and_a_file_through_it_write_nowhere),
        TEST(a_name_twice_or_in_other_case_is_refused),
        TEST(too_many_entries_are_refused_hidden_ones_too),
        TEST(a_bomb_ends_at_the_limit),
        TEST(an_archive_packed_twice_is_refused),
        TEST(a_truncated_or_damaged_archive_is_refused),
        TEST(a_folder_with_a_link_or_a_pipe_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
