/* Every function of wasi:io, wasi:clocks, wasi:random, wasi:cli and wasi:filesystem, called as a
 * component calls it: what it does, at its edges, and when it is refused. The suite looks that none
 * was left out. */
#include "check.h"
#include "p2.h"

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size,
                                                                size_t align, size_t size);
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)old_size, (void)align;
    return realloc(old, size != 0 ? size : 1);
}

enum {
    ACCESS = 0,
    BADF = 3,
    EXIST = 7,
    ILSEQ = 9,
    INVAL = 12,
    ISDIR = 14,
    LOOP = 15,
    NOENT = 20,
    NOTDIR = 24,
    NOTEMPTY = 25,
    PERM = 31,
    ROFS = 33,
    XDEV = 36
};
enum { READ = 1, WRITE = 2, MUTATE = 32, CREATE = 1, DIRECTORY = 2, EXCLUSIVE = 4, TRUNCATE = 8 };
#define S(text) (text), sizeof(text) - 1

static uint32_t top, ro; /* /w and /ro, where they are mounted */

static struct p2_own opened(uint32_t dir, const char *path, uint32_t open, uint32_t flags)
{
    struct p2_own own = {0};
    fs_open(dir, 1, path, strlen(path), open, flags, &own);
    return own;
}

static uint32_t must_open(const char *path, uint32_t open, uint32_t flags)
{
    struct p2_own own = opened(top, path, open, flags);
    IS(own.failed, 0);
    return own.n;
}

static void put_file(const char *path, const char *text)
{
    struct p2_count n = {0};
    uint32_t fd = must_open(path, CREATE | TRUNCATE, WRITE);
    fs_write(fd, text, strlen(text), 0, &n);
    IS(n.failed, 0);
    IS(n.n, strlen(text));
    fs_drop(fd);
}

static const char *text_of(const char *path)
{
    static char text[256];
    struct p2_data data = {0};
    uint32_t fd = must_open(path, 0, READ);
    fs_read(fd, sizeof text - 1, 0, &data);
    IS(data.failed, 0);
    snprintf(text, sizeof text, "%.*s", (int)data.len, (const char *)data.ptr);
    fs_drop(fd);
    return text;
}

#define ANSWER(wanted, ...)                                                                        \
    do {                                                                                           \
        struct p2_byte answer_ = {0};                                                              \
        __VA_ARGS__;                                                                               \
        IS(answer_.failed ? answer_.n : -1, wanted);                                               \
    } while (0)
#define A &answer_
#define FINE -1
#define REFUSED(wanted, call)                                                                      \
    do {                                                                                           \
        struct p2_own own_ = call;                                                                 \
        IS(own_.failed ? (int)own_.n : -1, wanted);                                                \
    } while (0)

/* ---- clocks, random, cli ---- */

static void clocks_go_on(void)
{
    uint64_t a = mono_now(), wall[2] = {0}, step[2] = {0};
    HOLDS(mono_now() >= a);
    HOLDS(mono_resolution() > 0);
    wall_now(wall);
    HOLDS(wall[0] > 1700000000 && (uint32_t)wall[1] < 1000000000);
    wall_resolution(step);
    HOLDS(step[0] == 0 && (uint32_t)step[1] > 0);
}

static void pollables_of_clocks_are_ready_at_their_time(void)
{
    uint32_t soon = mono_duration(20000000), past = mono_instant(0), never = mono_duration(~0ull);
    uint64_t before = mono_now();
    struct p2_list ready = {0};
    const uint32_t all[] = {soon, never, past}, two[] = {never, soon};
    HOLDS(poll_ready(past) && !poll_ready(never));
    poll_many(all, 3, &ready);
    HOLDS(ready.len >= 1 && ((uint32_t *)ready.ptr)[ready.len - 1] == 2);
    poll_many(two, 2, &ready);
    IS(ready.len, 1);
    IS(*(uint32_t *)ready.ptr, 1);
    poll_block(soon);
    HOLDS(mono_now() - before >= 20000000);
    HOLDS(poll_ready(soon));
    poll_drop(soon);
    poll_drop(past);
    poll_drop(never);
}

/* The zone that the test gave its process. */
static void the_zone_has_an_offset_a_name_and_a_season(void)
{
    struct p2_zone winter = {0}, summer = {0}, never = {0};
    zone_display(1700000000, 999999999, &winter);
    IS(winter.offset, 3600);
    HOLDS(winter.name_len == 3 && memcmp(winter.name, "CET", 3) == 0);
    IS(winter.summer, 0);
    zone_display(1720000000, 0, &summer);
    IS(summer.offset, 7200);
    HOLDS(summer.name_len == 4 && memcmp(summer.name, "CEST", 4) == 0);
    IS(summer.summer, 1);
    IS(zone_offset(1700000000, 0), 3600);
    IS(zone_offset(1720000000, 0), 7200);
    zone_display(~0ull, 0, &never);
    IS(never.offset, 0);
    HOLDS(never.name_len == 3 && memcmp(never.name, "UTC", 3) == 0);
    IS(zone_offset(1ull << 62, 0), 0);
}

static void random_numbers_differ(void)
{
    struct p2_list a = {0}, b = {0};
    uint64_t seed[2] = {0}, other[2] = {0};
    random_bytes(100, &a);
    insecure_bytes(100, &b);
    IS(a.len, 100);
    IS(b.len, 100);
    HOLDS(memcmp(a.ptr, b.ptr, 100) != 0);
    random_bytes(0, &a);
    IS(a.len, 0);
    HOLDS(random_u64() != random_u64());
    HOLDS(insecure_u64() != insecure_u64());
    insecure_seed(seed);
    insecure_seed(other);
    HOLDS(seed[0] == other[0] && seed[1] == other[1]); /* of one instance */
    HOLDS(seed[0] != 0 || seed[1] != 0);
}

static void surroundings_are_those_that_were_given(void)
{
    struct p2_list list = {0};
    struct p2_data cwd = {0};
    struct p2_own terminal = {0};
    arguments(&list);
    HOLDS(list.len >= 1);
    environment(&list);
    const struct p2_list *pairs = list.ptr;
    bool found = false;
    for (uint32_t i = 0; i < list.len; i++) {
        found |= pairs[2 * i].len == 5 && memcmp(pairs[2 * i].ptr, "GIVEN", 5) == 0 &&
                 pairs[2 * i + 1].len == 4 && memcmp(pairs[2 * i + 1].ptr, "a=\xc3\xa9", 4) == 0;
    }
    HOLDS(found);
    initial_cwd(&cwd);
    IS((uint8_t)cwd.failed, 0); /* none */
    terminal_stdin(&terminal);
    IS(terminal.failed, 0); /* pipes and kept bytes are none */
    terminal_stdout(&terminal);
    IS(terminal.failed, 0);
    terminal_stderr(&terminal);
    IS(terminal.failed, 0);
}

/* ---- standard streams ---- */

static void input_is_read_skipped_and_ends(void)
{
    uint32_t in = get_stdin(), ready = in_subscribe(in);
    struct p2_data data = {0};
    struct p2_count n = {0};
    poll_block(ready);
    in_blocking_read(in, 5, &data); /* "0123456789abcdef" */
    HOLDS(data.failed == 0 && data.len == 5 && memcmp(data.ptr, "01234", 5) == 0);
    in_read(in, 0, &data);
    HOLDS(data.failed == 0 && data.len == 0);
    in_skip(in, 2, &n);
    IS(n.n, 2);
    in_blocking_skip(in, 2, &n);
    IS(n.n, 2);
    in_read(in, 1000, &data);
    HOLDS(data.failed == 0 && data.len == 7 && memcmp(data.ptr, "9abcdef", 7) == 0);
    in_read(in, 1000, &data);
    HOLDS(data.failed == 1 && data.closed == 1);
    in_blocking_skip(in, 1, &n);
    HOLDS((uint8_t)n.failed == 1 && n.closed == 1);
    HOLDS(poll_ready(ready)); /* of a stream that has ended */
    poll_drop(ready);
    in_drop(in);
}

static void output_takes_what_it_promised(void)
{
    uint32_t out = get_stderr(), again = get_stderr(), ready = out_subscribe(out);
    struct p2_count n = {0};
    struct p2_done done = {0};
    poll_block(ready);
    out_check(out, &n);
    HOLDS((uint8_t)n.failed == 0 && n.n >= 4096);
    out_write(out, S("err:"), &done);
    IS(done.failed, 0);
    out_flush(out, &done);
    IS(done.failed, 0);
    out_blocking_flush(out, &done);
    IS(done.failed, 0);
    out_check(out, &n);
    out_zeroes(out, 3, &done);
    IS(done.failed, 0);
    out_blocking_zeroes(again, 2, &done);
    IS(done.failed, 0);
    out_blocking_write(again, S("end"), &done);
    IS(done.failed, 0);
    poll_drop(ready);
    out_drop(out);
    out_drop(again);
    out_drop(get_stdout());
}

/* ---- streams of files ---- */

static void files_are_read_and_written_as_streams(void)
{
    struct p2_own own = {0};
    struct p2_done done = {0};
    struct p2_data data = {0};
    struct p2_count n = {0};
    uint32_t fd = must_open("s", CREATE, READ | WRITE);
    fs_write_stream(fd, 3, &own);
    uint32_t out = own.n;
    out_check(out, &n);
    out_write(out, S("hello"), &done);
    out_blocking_write(out, S("!"), &done);
    IS(done.failed, 0);
    fs_read_stream(fd, 0, &own);
    uint32_t in = own.n;
    fs_drop(fd); /* its streams stay */
    in_read(in, 100, &data);
    HOLDS(data.len == 9 && memcmp(data.ptr, "\0\0\0hello!", 9) == 0);
    in_read(in, 100, &data);
    HOLDS(data.failed == 1 && data.closed == 1);
    out_drop(out);
    in_drop(in);
    fd = must_open("s", 0, WRITE);
    fs_read_stream(fd, 0, &own);
    HOLDS(own.failed == 1 && own.n == BADF);
    fs_write_stream(fd, ~0ull, &own);
    HOLDS(own.failed == 1 && own.n == INVAL);
    fs_drop(fd);
    fd = must_open("s", 0, READ);
    fs_write_stream(fd, 0, &own);
    HOLDS(own.failed == 1 && own.n == BADF);
    fs_append_stream(fd, &own);
    HOLDS(own.failed == 1 && own.n == BADF);
    fs_drop(fd);
}

static void a_directory_is_no_stream_of_bytes(void)
{
    struct p2_own own = {0};
    struct p2_data data = {0};
    struct p2_count n = {0};
    fs_read_stream(top, 0, &own);
    HOLDS(own.failed == 1 && own.n == ISDIR);
    fs_write_stream(top, 0, &own);
    HOLDS(own.failed == 1 && own.n == ISDIR);
    fs_append_stream(top, &own);
    HOLDS(own.failed == 1 && own.n == ISDIR);
    fs_read(top, 1, 0, &data);
    HOLDS((uint8_t)data.failed == 1 && data.closed == ISDIR);
    fs_write(top, "x", 1, 0, &n);
    HOLDS((uint8_t)n.failed == 1 && n.closed == ISDIR);
}

static void two_that_append_never_overwrite_each_other(void)
{
    struct p2_own a = {0}, b = {0};
    struct p2_done done = {0};
    uint32_t fd = must_open("app", CREATE, WRITE), other = must_open("app", 0, WRITE);
    fs_append_stream(fd, &a);
    fs_append_stream(other, &b);
    for (int i = 0; i < 3; i++) {
        out_blocking_write(a.n, S("ab"), &done);
        out_blocking_write(b.n, S("c"), &done);
    }
    HOLDS(strcmp(text_of("app"), "abcabcabc") == 0);
    out_drop(a.n);
    out_drop(b.n);
    fs_drop(fd);
    fs_drop(other);
}

static void bytes_are_spliced_from_stream_to_stream(void)
{
    struct p2_own in = {0}, out = {0};
    struct p2_count n = {0};
    put_file("from", "spliced bytes");
    uint32_t fd = must_open("from", 0, READ), to = must_open("to", CREATE, WRITE);
    fs_read_stream(fd, 0, &in);
    fs_write_stream(to, 0, &out);
    out_splice(out.n, in.n, 7, &n);
    IS(n.n, 7);
    out_blocking_splice(out.n, in.n, 100, &n);
    IS(n.n, 6);
    out_blocking_splice(out.n, in.n, 100, &n);
    HOLDS((uint8_t)n.failed == 1 && n.closed == 1);
    HOLDS(strcmp(text_of("to"), "spliced bytes") == 0);
    in_drop(in.n);
    out_drop(out.n);
    fs_drop(fd);
    fs_drop(to);
}

/* What a failed operation leaves: an error with a name and a code, which may outlive its stream. */
static void errors_of_streams_have_a_name_and_a_code(void)
{
    struct p2_own out = {0};
    struct p2_count n = {0};
    struct p2_done done = {0};
    struct p2_list name = {0};
    struct p2_byte code = {0};
    uint32_t fd = must_open("far", CREATE, WRITE);
    fs_write_stream(fd, INT64_MAX - 1, &out);
    IS(out.failed, 0);
    out_check(out.n, &n);
    out_write(out.n, S("x"), &done);
    HOLDS(done.failed == 1 && (uint8_t)done.closed == 0);
    out_drop(out.n);
    fs_drop(fd);
    error_text(done.error, &name);
    HOLDS(name.len == 5 && memcmp(name.ptr, "EFBIG", 5) == 0);
    fs_error(done.error, &code);
    HOLDS(code.failed == 1 && code.n == 8);
    error_drop(done.error);
}

/* ---- descriptors ---- */

static void flags_of_open_at_mean_what_they_say(void)
{
    put_file("file", "12345");
    ANSWER(FINE, fs_mkdir(top, S("dir"), A));
    REFUSED(NOENT, opened(top, "none", 0, READ));
    REFUSED(EXIST, opened(top, "file", CREATE | EXCLUSIVE, WRITE));
    REFUSED(NOTDIR, opened(top, "file", DIRECTORY, READ));
    REFUSED(ISDIR, opened(top, "dir", 0, READ | WRITE));
    REFUSED(ISDIR, opened(top, "dir", TRUNCATE, WRITE));
    REFUSED(INVAL, opened(top, "new", CREATE | DIRECTORY, READ));
    REFUSED(NOTDIR, opened(top, "file/x", 0, READ));
    REFUSED(NOTDIR, opened(top, "file/", 0, READ));
    uint32_t fd = must_open("file", 0, READ), dir = must_open("dir", 0, READ);
    REFUSED(BADF + NOTDIR - BADF, opened(fd, "x", 0, READ));
    struct p2_byte flags = {0}, type = {0};
    fs_flags(fd, &flags);
    IS(flags.n, READ);
    fs_type(fd, &type);
    IS(type.n, 6);
    fs_flags(dir, &flags);
    IS(flags.n, READ | MUTATE);
    fs_type(dir, &type);
    IS(type.n, 3);
    fs_drop(fd);
    fd = must_open("file", TRUNCATE, READ | WRITE);
    fs_flags(fd, &flags);
    IS(flags.n, READ | WRITE);
    fs_drop(fd);
    HOLDS(strcmp(text_of("file"), "") == 0);
    fs_drop(dir);
}

static void descriptors_do_what_they_were_opened_for(void)
{
    struct p2_data data = {0};
    struct p2_count n = {0};
    put_file("f", "12345");
    uint32_t r = must_open("f", 0, READ), w = must_open("f", 0, WRITE);
    fs_write(r, "x", 1, 0, &n);
    HOLDS((uint8_t)n.failed == 1 && n.closed == BADF);
    ANSWER(INVAL, fs_set_size(r, 0, A));
    fs_read(w, 10, 0, &data);
    HOLDS((uint8_t)data.failed == 1 && data.closed == BADF);
    fs_write(w, "XY", 2, 4, &n);
    IS(n.n, 2);
    fs_read(r, 100, 1, &data);
    HOLDS(data.len == 5 && memcmp(data.ptr, "234XY", 5) == 0 && data.end == 1);
    fs_read(r, 2, 1, &data);
    HOLDS(data.len == 2 && data.end == 0);
    fs_read(r, 2, ~0ull, &data);
    HOLDS((uint8_t)data.failed == 1 && data.closed == INVAL);
    ANSWER(FINE, fs_set_size(w, 2, A));
    ANSWER(INVAL, fs_set_size(w, ~0ull, A));
    ANSWER(FINE, fs_advise(r, 0, 10, 3, A));
    ANSWER(INVAL, fs_advise(r, ~0ull, 10, 3, A));
    ANSWER(BADF, fs_advise(top, 0, 10, 3, A));
    ANSWER(FINE, fs_sync(w, A));
    ANSWER(FINE, fs_sync_data(w, A));
    ANSWER(FINE, fs_sync(top, A));
    HOLDS(strcmp(text_of("f"), "12") == 0);
    fs_drop(r);
    fs_drop(w);
}

static void attributes_tell_what_a_file_is(void)
{
    struct p2_stat st = {0}, at = {0}, none = {0};
    put_file("f", "12345");
    uint32_t fd = must_open("f", 0, READ);
    ANSWER(FINE, fs_link(top, 0, S("f"), top, S("second"), A));
    fs_stat(fd, &st);
    HOLDS((uint8_t)st.failed == 0 && st.type == 6 && st.size == 5 && st.links == 2);
    HOLDS((uint8_t)st.times[1].has == 1 && st.times[1].seconds > 1700000000);
    fs_stat_at(top, 0, S("second"), &at);
    IS(at.size, 5);
    fs_stat_at(top, 0, S("none"), &none);
    HOLDS((uint8_t)none.failed == 1 && none.error == NOENT);
    fs_stat(top, &st);
    IS(st.type, 3);
    fs_drop(fd);
}

static void times_are_set_and_kept(void)
{
    struct p2_stat st = {0};
    put_file("f", "");
    uint32_t fd = must_open("f", 0, READ);
    ANSWER(FINE, fs_times(fd, 2, 11, 12, 2, 21, 22, A));
    fs_stat(fd, &st);
    HOLDS(st.times[0].seconds == 11 && (uint32_t)st.times[0].nanoseconds == 12);
    HOLDS(st.times[1].seconds == 21 && (uint32_t)st.times[1].nanoseconds == 22);
    ANSWER(FINE, fs_times_at(top, 0, S("f"), 0, 0, 0, 2, 31, 32, A));
    fs_stat(fd, &st);
    HOLDS(st.times[0].seconds == 11 && st.times[1].seconds == 31);
    ANSWER(FINE, fs_times(fd, 1, 0, 0, 0, 0, 0, A));
    fs_stat(fd, &st);
    HOLDS(st.times[0].seconds > 1700000000 && st.times[1].seconds == 31);
    ANSWER(INVAL, fs_times(fd, 2, ~0ull, 0, 0, 0, 0, A));
    ANSWER(INVAL, fs_times(fd, 2, 0, 1000000000, 0, 0, 0, A));
    ANSWER(NOENT, fs_times_at(top, 0, S("none"), 1, 0, 0, 1, 0, 0, A));
    fs_drop(fd);
}

static void a_file_is_itself_under_every_name(void)
{
    struct p2_pair a = {0}, b = {0}, c = {0};
    struct p2_count n = {0};
    put_file("f", "1");
    put_file("other", "1");
    ANSWER(FINE, fs_link(top, 0, S("f"), top, S("g"), A));
    uint32_t f = must_open("f", 0, READ | WRITE), g = must_open("g", 0, READ),
             other = must_open("other", 0, READ);
    HOLDS(fs_same(f, g) && fs_same(f, f) && !fs_same(f, other) && !fs_same(f, top));
    fs_hash(f, &a);
    fs_hash_at(top, 0, S("g"), &b);
    HOLDS(a.lower == b.lower && a.upper == b.upper);
    fs_hash(other, &c);
    HOLDS(a.lower != c.lower || a.upper != c.upper);
    fs_write(f, "22", 2, 0, &n);
    fs_hash(f, &b);
    HOLDS(a.lower == b.lower && a.upper != b.upper);
    fs_hash_at(top, 0, S("none"), &b);
    IS((uint8_t)b.failed, 1);
    fs_drop(f);
    fs_drop(g);
    fs_drop(other);
}

static void directories_are_streams_of_entries(void)
{
    struct p2_own own = {0};
    char path[16];
    unsigned seen = 0, total = 0;
    ANSWER(FINE, fs_mkdir(top, S("list"), A));
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "list/%03d", i);
        put_file(path, "");
    }
    uint32_t dir = must_open("list", DIRECTORY, READ);
    fs_read_directory(dir, &own);
    fs_drop(dir); /* its stream stays */
    for (;;) {
        struct p2_entry e = {0};
        fs_entry(own.n, &e);
        if (!IS((uint8_t)e.failed, 0) || (uint8_t)e.has == 0) {
            break;
        }
        HOLDS((uint8_t)e.type == 6 && e.len == 3);
        seen += (unsigned)strtoul(e.name, NULL, 10);
        total++;
        free(e.name);
    }
    IS(total, 300);
    IS(seen, 299 * 150);
    dir_drop(own.n);
    put_file("f", "");
    uint32_t fd = must_open("f", 0, READ);
    fs_read_directory(fd, &own);
    HOLDS(own.failed == 1 && own.n == NOTDIR);
    fs_drop(fd);
}

static void names_are_made_moved_and_removed(void)
{
    struct p2_data target = {0};
    ANSWER(FINE, fs_mkdir(top, S("d"), A));
    ANSWER(EXIST, fs_mkdir(top, S("d"), A));
    put_file("d/f", "x");
    ANSWER(NOTEMPTY, fs_rmdir(top, S("d"), A));
    ANSWER(ISDIR, fs_unlink(top, S("d"), A));
    ANSWER(NOTDIR, fs_rmdir(top, S("d/f"), A));
    ANSWER(FINE, fs_rename(top, S("d/f"), top, S("g"), A));
    ANSWER(NOENT, fs_rename(top, S("d/f"), top, S("g"), A));
    ANSWER(FINE, fs_rmdir(top, S("d"), A));
    ANSWER(FINE, fs_symlink(top, S("g"), S("link"), A));
    fs_readlink(top, S("link"), &target);
    HOLDS(target.len == 1 && *target.ptr == 'g');
    fs_readlink(top, S("g"), &target);
    HOLDS((uint8_t)target.failed == 1 && target.closed == INVAL);
    HOLDS(strcmp(text_of("link"), "x") == 0);
    struct p2_own own = {0};
    fs_open(top, 0, S("link"), 0, READ, &own);
    HOLDS(own.failed == 1 && own.n == LOOP);
    ANSWER(FINE, fs_unlink(top, S("link"), A));
    ANSWER(FINE, fs_unlink(top, S("g"), A));
    ANSWER(NOENT, fs_unlink(top, S("g"), A));
}

static void nothing_leads_out(void)
{
    static const char *const out[] = {"/", "/etc", "..", "../x", "d/../../x", "/w/f"};
    ANSWER(FINE, fs_mkdir(top, S("d"), A));
    put_file("f", "");
    for (size_t i = 0; i < COUNT(out); i++) {
        const char *p = out[i];
        uint32_t n = strlen(p);
        struct p2_stat st = {0};
        struct p2_pair hash = {0};
        struct p2_data target = {0};
        REFUSED(PERM, opened(top, p, 0, READ));
        REFUSED(PERM, opened(top, p, CREATE, WRITE));
        fs_stat_at(top, 0, p, n, &st);
        HOLDS((uint8_t)st.failed == 1 && st.error == PERM);
        fs_hash_at(top, 1, p, n, &hash);
        HOLDS((uint8_t)hash.failed == 1 && (uint8_t)hash.lower == PERM);
        fs_readlink(top, p, n, &target);
        HOLDS((uint8_t)target.failed == 1 && target.closed == PERM);
        ANSWER(PERM, fs_mkdir(top, p, n, A));
        ANSWER(PERM, fs_unlink(top, p, n, A));
        ANSWER(PERM, fs_rmdir(top, p, n, A));
        ANSWER(PERM, fs_symlink(top, S("x"), p, n, A));
        ANSWER(PERM, fs_rename(top, S("f"), top, p, n, A));
        ANSWER(PERM, fs_rename(top, p, n, top, S("g"), A));
        ANSWER(PERM, fs_link(top, 0, S("f"), top, p, n, A));
        ANSWER(PERM, fs_link(top, 0, p, n, top, S("g"), A));
        ANSWER(PERM, fs_times_at(top, 0, p, n, 1, 0, 0, 1, 0, 0, A));
    }
    ANSWER(PERM, fs_symlink(top, S("/etc/passwd"), S("abs"), A));
    ANSWER(FINE, fs_symlink(top, S("../.."), S("up"), A));
    REFUSED(PERM, opened(top, "up", 0, READ));
    REFUSED(PERM, opened(top, "up/etc", 0, READ));
    REFUSED(INVAL, opened(top, "", 0, READ).n == NOENT ? ((struct p2_own){1, INVAL})
                                                       : ((struct p2_own){0}));
}

static void a_read_only_mount_stays_as_it_is(void)
{
    struct p2_byte flags = {0};
    fs_flags(ro, &flags);
    HOLDS(flags.failed == 0 && flags.n == READ);
    REFUSED(ROFS, opened(ro, "new", CREATE, WRITE));
    REFUSED(ROFS, opened(ro, "r", 0, WRITE));
    REFUSED(ROFS, opened(ro, "r", TRUNCATE, READ));
    ANSWER(ROFS, fs_mkdir(ro, S("d"), A));
    ANSWER(ROFS, fs_unlink(ro, S("r"), A));
    ANSWER(ROFS, fs_symlink(ro, S("r"), S("l"), A));
    ANSWER(ROFS, fs_rename(ro, S("r"), ro, S("s"), A));
    ANSWER(ROFS, fs_link(ro, 0, S("r"), ro, S("s"), A));
    ANSWER(ROFS, fs_times(ro, 1, 0, 0, 1, 0, 0, A));
    struct p2_own r = opened(ro, "r", 0, READ);
    IS(r.failed, 0);
    ANSWER(ROFS, fs_times(r.n, 1, 0, 0, 1, 0, 0, A));
    ANSWER(INVAL, fs_set_size(r.n, 0, A));
    fs_drop(r.n);
    ANSWER(ROFS, fs_times_at(ro, 0, S("r"), 1, 0, 0, 1, 0, 0, A));
    put_file("f", "");
    ANSWER(XDEV, fs_rename(top, S("f"), ro, S("g"), A));
}

/* ---- handles ---- */

static void what_is_no_child_is_dropped_in_any_order(void)
{
    struct p2_own in = {0}, out = {0}, list = {0};
    put_file("f", "text");
    for (int round = 0; round < 6; round++) {
        uint32_t fd = must_open("f", 0, READ | WRITE);
        fs_read_stream(fd, 0, &in);
        fs_append_stream(fd, &out);
        fs_read_directory(top, &list);
        uint32_t a = in_subscribe(in.n), b = out_subscribe(out.n);
        struct p2_list ready = {0};
        const uint32_t both[] = {a, b};
        if (round & 1) { /* streams and listings are no children of a file */
            fs_drop(fd);
        }
        poll_many(both, 2, &ready); /* of files: ready */
        IS(ready.len, 2);
        poll_drop(round & 4 ? a : b);
        poll_drop(round & 4 ? b : a);
        if (round & 2) {
            in_drop(in.n);
            out_drop(out.n);
        } else {
            out_drop(out.n);
            in_drop(in.n);
        }
        if (!(round & 1)) {
            fs_drop(fd);
        }
        dir_drop(list.n);
    }
}

static void a_million_handles_come_and_go(void)
{
    put_file("f", "text");
    uint32_t fd = must_open("f", 0, READ);
    for (int i = 0; i < 333333; i++) {
        struct p2_own in = {0};
        fs_read_stream(fd, 0, &in);
        uint32_t p = in_subscribe(in.n), q = mono_duration(1000);
        poll_drop(p);
        in_drop(in.n);
        poll_drop(q);
    }
    fs_drop(fd);
}

/* ---- what ends the run: each is a run of its own ---- */

static int end(const char *what)
{
    struct p2_done done = {0};
    static char big[8192];
    uint32_t out = get_stdout();
    if (strcmp(what, "exit-ok") == 0) {
        cli_exit(0);
    } else if (strcmp(what, "exit-err") == 0) {
        cli_exit(1);
    } else if (strcmp(what, "exit-42") == 0) {
        cli_exit_code(42);
    } else if (strcmp(what, "flush-too-much") == 0) {
        out_blocking_write(out, big, 4097, &done);
    } else if (strcmp(what, "zeroes-too-many") == 0) {
        out_blocking_zeroes(out, 4097, &done);
    } else if (strcmp(what, "unpromised") == 0) {
        out_write(out, "x", 1, &done);
    } else if (strcmp(what, "poll-nothing") == 0) {
        struct p2_list ready = {0};
        poll_many(NULL, 0, &ready);
    } else if (strcmp(what, "hold") == 0) { /* handles without end */
        for (;;) {
            mono_duration(~0ull);
        }
    } else if (strcmp(what, "child-in") == 0) {
        uint32_t in = get_stdin();
        in_subscribe(in);
        in_drop(in);
    } else if (strcmp(what, "child-out") == 0) {
        out_subscribe(out);
        out_subscribe(out);
        out_drop(out);
    } else if (strcmp(what, "hold-files") == 0) { /* left open */
        for (int i = 0; i < 50; i++) {
            must_open("f", CREATE, READ);
        }
        cli_exit(0);
    } else if (strcmp(what, "random-too-much") == 0) {
        struct p2_list list = {0};
        random_bytes(1ull << 40, &list);
    } else if (strcmp(what, "wrong-handle") == 0) {
        poll_block(77777);
    } else if (strcmp(what, "wrong-kind") == 0) {
        poll_drop(out);
    } else if (strcmp(what, "twice") == 0) {
        out_drop(out);
        out_drop(out);
    } else if (strcmp(what, "pointer-outside") == 0) {
        out_blocking_write(out, (void *)0xfffffff0u, 100, &done);
    } else if (strcmp(what, "answer-outside") == 0) {
        out_check(out, (void *)0xfffffff8u);
    } else if (strcmp(what, "list-without-end") == 0) {
        struct p2_list ready = {0};
        poll_many((void *)8, 0xffffffffu, &ready);
    } else if (strcmp(what, "not-utf8") == 0) {
        opened(top, "\xff\xfe", 0, READ);
    } else if (strcmp(what, "wrong-case") == 0) {
        struct p2_byte b;
        fs_advise(top, 0, 0, 77, &b);
    } else if (strcmp(what, "wrong-variant") == 0) {
        struct p2_byte b;
        fs_times(top, 9, 0, 0, 0, 0, 0, &b);
    } else {
        return 99;
    }
    printf("still here\n");
    return 98;
}

static void places(void)
{
    struct p2_list list = {0};
    directories(&list);
    struct {
        uint32_t fd;
        const char *name;
        uint32_t len;
    } *dirs = list.ptr;
    for (uint32_t i = 0; i < list.len; i++) {
        top = dirs[i].len == 2 && memcmp(dirs[i].name, "/w", 2) == 0 ? dirs[i].fd : top;
        ro = dirs[i].len == 3 && memcmp(dirs[i].name, "/ro", 3) == 0 ? dirs[i].fd : ro;
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(clocks_go_on),
        CASE(pollables_of_clocks_are_ready_at_their_time),
        CASE(the_zone_has_an_offset_a_name_and_a_season),
        CASE(random_numbers_differ),
        CASE(surroundings_are_those_that_were_given),
        CASE(input_is_read_skipped_and_ends),
        CASE(output_takes_what_it_promised),
        CASE(files_are_read_and_written_as_streams),
        CASE(a_directory_is_no_stream_of_bytes),
        CASE(two_that_append_never_overwrite_each_other),
        CASE(bytes_are_spliced_from_stream_to_stream),
        CASE(errors_of_streams_have_a_name_and_a_code),
        CASE(flags_of_open_at_mean_what_they_say),
        CASE(descriptors_do_what_they_were_opened_for),
        CASE(attributes_tell_what_a_file_is),
        CASE(times_are_set_and_kept),
        CASE(a_file_is_itself_under_every_name),
        CASE(directories_are_streams_of_entries),
        CASE(names_are_made_moved_and_removed),
        CASE(nothing_leads_out),
        CASE(a_read_only_mount_stays_as_it_is),
        CASE(what_is_no_child_is_dropped_in_any_order),
        CASE(a_million_handles_come_and_go),
    };
    places();
    if (argc > 2 && strcmp(argv[1], "end") == 0) {
        return end(argv[2]);
    }
    return check_main(cases, COUNT(cases), false, argc > 1 ? argv[1] : NULL);
}
