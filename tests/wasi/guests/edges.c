/* What a component meets at the edges of WASI 0.2, one scene a run; reports on stderr, because
 * stdout is what some scenes are about.
 *   closed WHAT     stdout's reader goes between "ready" and the first byte of stdin
 *   fill            stdout is filled, its reader goes after "full"
 *   input           stdin to its end, by each way to read
 *   terminals       which standard streams are terminals
 *   polls N         N pollables in one call: clocks that never ring, one that does, stdin
 *   listings N      N streams over the first directory, held open, an entry of each
 *   realloc WHAT    what the host asks memory from does not behave */
#include "check.h"
#include "p2.h"

#define SAY(...) fprintf(stderr, __VA_ARGS__)

static const char *odd = "";

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size,
                                                                size_t align, size_t size);
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)old_size, (void)align;
    if (strcmp(odd, "traps") == 0) {
        __builtin_trap();
    } else if (strcmp(odd, "outside") == 0) {
        return (void *)0xfffffff0u;
    } else if (strcmp(odd, "aslant") == 0) {
        return (char *)malloc(size + 8) + 1;
    } else if (strcmp(odd, "calls") == 0) {
        get_stdout(); /* an instance that is asked for memory may not leave */
    } else if (strcmp(odd, "exits") == 0) {
        cli_exit(0);
    }
    while (strcmp(odd, "spins") == 0) {
    }
    return realloc(old, size != 0 ? size : 1);
}

/* "fine", "closed", or the name of an error. */
static const char *name_of(bool failed, uint8_t closed, uint32_t error)
{
    static char text[64];
    struct p2_list name = {0};
    if (!failed || closed == 1) {
        return failed ? "closed" : "fine";
    }
    error_text(error, &name);
    snprintf(text, sizeof text, "%.*s", (int)name.len, (const char *)name.ptr);
    error_drop(error);
    return text;
}

static void say_done(const char *what, const struct p2_done *d)
{
    SAY("%s: %s\n", what, name_of((uint8_t)d->failed == 1, (uint8_t)d->closed, d->error));
}

static void say_count(const char *what, const struct p2_count *n)
{
    bool failed = (uint8_t)n->failed == 1;
    if (failed) {
        SAY("%s: %s\n", what, name_of(true, n->closed, n->error));
    } else {
        SAY("%s: %llu\n", what, (unsigned long long)n->n);
    }
}

static void one_write(uint32_t out, uint32_t in, const char *what)
{
    static char block[4096];
    struct p2_done done = {0};
    struct p2_count n = {0};
    if (strcmp(what, "write") == 0) {
        out_write(out, block, sizeof block, &done);
    } else if (strcmp(what, "blocking-write") == 0) {
        out_blocking_write(out, block, sizeof block, &done);
    } else if (strcmp(what, "write-zeroes") == 0) {
        out_zeroes(out, sizeof block, &done);
    } else if (strcmp(what, "blocking-write-zeroes") == 0) {
        out_blocking_zeroes(out, sizeof block, &done);
    } else if (strcmp(what, "flush") == 0) {
        out_flush(out, &done);
    } else if (strcmp(what, "blocking-flush") == 0) {
        out_blocking_flush(out, &done);
    } else if (strcmp(what, "splice") == 0) {
        out_splice(out, in, 100, &n);
        done = (struct p2_done){(uint32_t)n.failed, n.closed, n.error};
    } else if (strcmp(what, "blocking-splice") == 0) {
        out_blocking_splice(out, in, 100, &n);
        done = (struct p2_done){(uint32_t)n.failed, n.closed, n.error};
    }
    say_done(what, &done);
}

static int closed(const char *what)
{
    uint32_t in = get_stdin(), out = get_stdout(), ready = out_subscribe(out);
    struct p2_count n = {0};
    struct p2_data data = {0};
    out_check(out, &n);
    say_count("check", &n);
    SAY("ready\n");
    in_blocking_read(in, 1, &data);
    one_write(out, in, what);
    out_check(out, &n);
    say_count("then check", &n);
    one_write(out, in,
              strcmp(what, "write") == 0          ? "blocking-write"
              : strcmp(what, "write-zeroes") == 0 ? "blocking-write-zeroes"
                                                  : what); /* none is promised any more */
    poll_block(ready);
    uint32_t again = out_subscribe(out);
    SAY("%s\n", poll_ready(again) && poll_ready(ready) ? "pollables: ready" : "pollables: wait");
    poll_drop(again);
    poll_drop(ready);
    out_drop(out);
    in_blocking_read(in, 1, &data); /* what was not spliced is still there */
    SAY("stdin: %.*s\n", (int)data.len, (const char *)data.ptr);
    return 0;
}

static int fill(void)
{
    uint32_t out = get_stdout(), ready = out_subscribe(out);
    struct p2_count n = {0};
    struct p2_done done = {0};
    for (out_check(out, &n); (uint8_t)n.failed == 0 && n.n != 0; out_check(out, &n)) {
        out_zeroes(out, n.n, &done);
    }
    SAY("%s", poll_ready(ready) ? "not full\n" : "full\n");
    poll_block(ready);
    out_check(out, &n);
    say_count("then check", &n);
    return 0;
}

static int input(void)
{
    uint32_t in = get_stdin(), ready = in_subscribe(in), out = get_stdout();
    struct p2_data data = {0};
    struct p2_count n = {0};
    for (;;) {
        in_blocking_read(in, 100, &data);
        if ((uint8_t)data.failed == 1) {
            break;
        }
        SAY("read: %.*s\n", (int)data.len, (const char *)data.ptr);
    }
    SAY("blocking-read: %s\n", name_of(true, data.closed, data.len));
    in_read(in, 100, &data);
    SAY("read: %s\n", name_of((uint8_t)data.failed == 1, data.closed, data.len));
    in_skip(in, 1, &n);
    say_count("skip", &n);
    in_blocking_skip(in, 1, &n);
    say_count("blocking-skip", &n);
    out_splice(out, in, 1, &n);
    say_count("splice", &n);
    out_blocking_splice(out, in, 1, &n);
    say_count("blocking-splice", &n);
    SAY("%s\n", poll_ready(ready) ? "pollable: ready" : "pollable: waits");
    return 0;
}

static int terminals(void)
{
    struct p2_own in = {0}, out = {0}, error = {0};
    terminal_stdin(&in);
    terminal_stdout(&out);
    terminal_stderr(&error);
    SAY("terminals: %u%u%u\n", (uint8_t)in.failed, (uint8_t)out.failed, (uint8_t)error.failed);
    return 0;
}

static int polls(uint32_t n)
{
    uint32_t *all = calloc(n, sizeof *all), in = get_stdin(), rings = n / 2;
    struct p2_list ready = {0};
    for (uint32_t i = 0; i < n; i++) {
        all[i] = i == rings   ? mono_duration(20000000)
                 : i % 2 == 0 ? in_subscribe(in)
                              : mono_duration(~0ull);
    }
    poll_many(all, n, &ready);
    SAY("%u ready, the first %u\n", ready.len, *(uint32_t *)ready.ptr);
    return 0;
}

static int listings(uint32_t n)
{
    struct p2_list dirs = {0};
    directories(&dirs);
    uint32_t dir = *(uint32_t *)dirs.ptr, i = 0;
    for (; i < n; i++) {
        struct p2_own own = {0};
        struct p2_entry e = {0};
        fs_read_directory(dir, &own);
        if (own.failed) {
            SAY("error-code %u\n", own.n);
            break;
        }
        fs_entry(own.n, &e);
        if ((uint8_t)e.failed != 0 || (uint8_t)e.has == 0) {
            SAY("no entry\n");
            break;
        }
        free(e.name);
    }
    SAY("%u listings\n", i);
    return 0;
}

static int reallocated(const char *what)
{
    struct p2_list list = {0};
    odd = what;
    environment(&list);
    odd = "";
    SAY("still here\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "", *a = argc > 2 ? argv[2] : "";
    if (strcmp(verb, "closed") == 0) {
        return closed(a);
    }
    if (strcmp(verb, "fill") == 0) {
        return fill();
    }
    if (strcmp(verb, "input") == 0) {
        return input();
    }
    if (strcmp(verb, "terminals") == 0) {
        return terminals();
    }
    if (strcmp(verb, "polls") == 0) {
        return polls((uint32_t)atoi(a));
    }
    if (strcmp(verb, "listings") == 0) {
        return listings((uint32_t)atoi(a));
    }
    return strcmp(verb, "realloc") == 0 ? reallocated(a) : 2;
}
