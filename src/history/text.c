#include "history/text.h"

#include "base/mem.h"
#include "base/wraps.h"

#define LINES_MAX (1u << 20)
#define COST_MAX 4096 /* edits looked for between two points before they count as all different */

bool cis_text_is(struct cis_bytes data)
{
    return (data.len == 0 || memchr(data.ptr, 0, data.len) == NULL) &&
           cis_utf8_valid(data.ptr, data.len);
}

struct line {
    const uint8_t *ptr;
    size_t len; /* with its newline */
    uint32_t hash;
};

struct text {
    struct line *lines;
    int n;
    bool *changed; /* not part of what both have */
};

struct work {
    struct text a, b;
    int *fore, *back; /* furthest points of the two searches, by diagonal + offset */
    int offset, most;
    const struct cis_stop *stop;
    unsigned steps; /* points of the searches, since stop was looked at */
    cis_code code;
    struct cis_error *err;
};

#define STEPS (1u << 20)

CIS_WRAPS static uint32_t hash_line(const uint8_t *ptr, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ ptr[i]) * 16777619u;
    }
    return h;
}

static cis_code split(struct cis_bytes data, struct text *out, struct cis_error *err)
{
    size_t n = 0;
    for (size_t at = 0; at < data.len; n++) {
        const uint8_t *nl = memchr(data.ptr + at, '\n', data.len - at);
        at = nl != NULL ? (size_t)(nl - data.ptr) + 1 : data.len;
    }
    if (n > LINES_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u lines", LINES_MAX);
    }
    out->lines = cis_calloc(cis_size_add(n, 1), sizeof *out->lines);
    out->changed = cis_calloc(cis_size_add(n, 1), sizeof *out->changed);
    if (out->lines == NULL || out->changed == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    for (size_t at = 0; at < data.len;) {
        const uint8_t *nl = memchr(data.ptr + at, '\n', data.len - at);
        size_t end = nl != NULL ? (size_t)(nl - data.ptr) + 1 : data.len;
        out->lines[out->n++] =
            (struct line){data.ptr + at, end - at, hash_line(data.ptr + at, end - at)};
        at = end;
    }
    return CIS_OK;
}

static bool same(const struct work *w, int i, int k)
{
    const struct line *x = &w->a.lines[i], *y = &w->b.lines[k];
    return x->hash == y->hash && x->len == y->len && memcmp(x->ptr, y->ptr, x->len) == 0;
}

struct box {
    int a0, a1, b0, b1;
};

/* Has somebody ended it? After n points more. */
static bool ended(struct work *w, unsigned n)
{
    w->steps += n;
    if (w->steps >= STEPS && w->code == CIS_OK && w->stop != NULL) {
        w->steps = 0;
        w->code = cis_stop_check(w->stop, "diff", w->err);
    }
    return w->code != CIS_OK;
}

#define NONE (-1)

/* The furthest point on diagonal k after d edits, from those next to it after d - 1, before the
 * common lines that follow; NONE: it lies outside. */
static int reach(const int *v, int k, int d, int n, int m)
{
    if (d == 0) {
        return 0;
    }
    int down = k < d ? v[k + 1] : NONE, right = k > -d && v[k - 1] != NONE ? v[k - 1] + 1 : NONE;
    if (down != NONE && (down - k > m || down - k < 0)) {
        down = NONE;
    }
    if (right > n || right - k < 0) {
        right = NONE;
    }
    return down > right ? down : right;
}

/* Where the two searches, from both corners of the box, meet: a point on a shortest path. False: it
 * would cost too much. */
static bool middle(struct work *w, const struct box *box, int *out_a, int *out_b)
{
    int n = box->a1 - box->a0, m = box->b1 - box->b0, delta = n - m;
    bool odd = (delta & 1) != 0;
    int *fore = w->fore + w->offset, *back = w->back + w->offset;
    for (int d = 0; d <= (n + m + 1) / 2 && d < w->most && !ended(w, 2u * (unsigned)d + 1); d++) {
        for (int k = -d; k <= d; k += 2) {
            int x = reach(fore, k, d, n, m), r = delta - k; /* r: the other search's diagonal */
            while (x != NONE && x < n && x - k < m && same(w, box->a0 + x, box->b0 + x - k)) {
                x++;
            }
            fore[k] = x;
            if (odd && x != NONE && r > -d && r < d && back[r] != NONE && x + back[r] >= n) {
                *out_a = box->a0 + x;
                *out_b = box->b0 + x - k;
                return true;
            }
        }
        for (int k = -d; k <= d; k += 2) {
            int x = reach(back, k, d, n, m), r = delta - k;
            while (x != NONE && x < n && x - k < m &&
                   same(w, box->a1 - 1 - x, box->b1 - 1 - (x - k))) {
                x++;
            }
            back[k] = x;
            if (!odd && x != NONE && r >= -d && r <= d && fore[r] != NONE && x + fore[r] >= n) {
                *out_a = box->a1 - x;
                *out_b = box->b1 - (x - k);
                return true;
            }
        }
    }
    return false;
}

static void all_changed(struct work *w, const struct box *box)
{
    for (int i = box->a0; i < box->a1; i++) {
        w->a.changed[i] = true;
    }
    for (int i = box->b0; i < box->b1; i++) {
        w->b.changed[i] = true;
    }
}

/* Each half is smaller than its whole, and the greater one is the loop: depth is logarithmic. */
static void compare(struct work *w, struct box box)
{
    for (;;) {
        int a, b, from = box.a0;
        while (box.a0 < box.a1 && box.b0 < box.b1 && same(w, box.a0, box.b0)) {
            box.a0++;
            box.b0++;
        }
        if (ended(w, (unsigned)(box.a0 - from))) {
            return;
        }
        while (box.a0 < box.a1 && box.b0 < box.b1 && same(w, box.a1 - 1, box.b1 - 1)) {
            box.a1--;
            box.b1--;
        }
        if (box.a0 == box.a1 || box.b0 == box.b1 || !middle(w, &box, &a, &b)) {
            all_changed(w, &box);
            return;
        }
        struct box first = {box.a0, a, box.b0, b}, second = {a, box.a1, b, box.b1};
        int n1 = a - box.a0 + b - box.b0, n2 = box.a1 - a + box.b1 - b;
        if (n1 == 0 || n2 == 0) { /* no progress can be made by halving */
            all_changed(w, &box);
            return;
        }
        compare(w, n1 < n2 ? first : second);
        box = n1 < n2 ? second : first;
    }
}

/* ---- output ---- */
static void put_line(struct cis_buf *out, char mark, const struct line *line)
{
    cis_buf_byte(out, (uint8_t)mark);
    cis_buf_add(out, line->ptr, line->len);
    if (line->len == 0 || line->ptr[line->len - 1] != '\n') {
        cis_buf_text(out, "\n\\ No newline at end of file\n");
    }
}

static void put_range(struct cis_buf *out, char mark, int from, int n)
{
    cis_buf_printf(out, "%c%d", mark, n == 0 ? from : from + 1);
    if (n != 1) {
        cis_buf_printf(out, ",%d", n);
    }
}

struct at {
    int a, b;
};

static void put_hunk(const struct work *w, struct at from, struct at to, struct cis_buf *out)
{
    cis_buf_text(out, "@@ ");
    put_range(out, '-', from.a, to.a - from.a);
    cis_buf_byte(out, ' ');
    put_range(out, '+', from.b, to.b - from.b);
    cis_buf_text(out, " @@\n");
    while (from.a < to.a || from.b < to.b) {
        while (from.a < to.a && w->a.changed[from.a]) {
            put_line(out, '-', &w->a.lines[from.a++]);
        }
        while (from.b < to.b && w->b.changed[from.b]) {
            put_line(out, '+', &w->b.lines[from.b++]);
        }
        if (from.a < to.a) { /* what both have is as long on both sides */
            put_line(out, ' ', &w->a.lines[from.a]);
            from.a++;
            from.b++;
        }
    }
}

static struct at run_end(const struct work *w, struct at p)
{
    while (p.a < w->a.n && w->a.changed[p.a]) {
        p.a++;
    }
    while (p.b < w->b.n && w->b.changed[p.b]) {
        p.b++;
    }
    return p;
}

static bool changed_here(const struct work *w, struct at p)
{
    return (p.a < w->a.n && w->a.changed[p.a]) || (p.b < w->b.n && w->b.changed[p.b]);
}

static void put_hunks(const struct work *w, int context, struct cis_buf *out)
{
    struct at p = {0, 0};
    while (p.a < w->a.n || p.b < w->b.n) {
        if (!changed_here(w, p)) {
            p.a++;
            p.b++;
            continue;
        }
        int before = p.a < context ? p.a : context;
        before = p.b < before ? p.b : before;
        struct at from = {p.a - before, p.b - before}, end = run_end(w, p);
        for (int quiet = 0; quiet <= 2 * context && end.a + quiet <= w->a.n; quiet++) {
            struct at q = {end.a + quiet, end.b + quiet};
            if (changed_here(w, q)) {
                end = run_end(w, q);
                quiet = -1;
            }
        }
        int after = w->a.n - end.a < context ? w->a.n - end.a : context;
        struct at to = {end.a + after, end.b + after};
        put_hunk(w, from, to, out);
        p = to;
    }
}

static void work_done(struct work *w)
{
    cis_free(w->a.lines);
    cis_free(w->a.changed);
    cis_free(w->b.lines);
    cis_free(w->b.changed);
    cis_free(w->fore);
    cis_free(w->back);
}

cis_code cis_text_diff(struct cis_bytes old_text, struct cis_bytes new_text,
                       struct cis_str old_name, struct cis_str new_name, unsigned context,
                       struct cis_buf *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(work_done) struct work w = {.stop = stop, .err = err};
    if (old_text.len > CIS_TEXT_DIFF_MAX || new_text.len > CIS_TEXT_DIFF_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "more than %u bytes of text", CIS_TEXT_DIFF_MAX);
    }
    if (old_text.len == new_text.len &&
        (old_text.len == 0 || memcmp(old_text.ptr, new_text.ptr, old_text.len) == 0)) {
        return CIS_OK;
    }
    CIS_TRY(split(old_text, &w.a, err));
    CIS_TRY(split(new_text, &w.b, err));
    /* Diagonals -(COST_MAX + 1) … COST_MAX + 1, and no more than there are lines. */
    w.most = w.a.n + w.b.n + 2 < COST_MAX ? w.a.n + w.b.n + 2 : COST_MAX;
    w.offset = w.most + 1;
    size_t diagonals = cis_size_add(cis_size_mul((size_t)w.offset, 2), 1);
    w.fore = cis_calloc(diagonals, sizeof *w.fore);
    w.back = cis_calloc(diagonals, sizeof *w.back);
    if (w.fore == NULL || w.back == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "out of memory");
    }
    compare(&w, (struct box){0, w.a.n, 0, w.b.n});
    if (w.code != CIS_OK) {
        return w.code;
    }
    cis_buf_printf(out, "--- %.*s\n+++ %.*s\n", (int)old_name.len, old_name.ptr, (int)new_name.len,
                   new_name.ptr);
    put_hunks(&w, (int)(context < 1000 ? context : 1000), out);
    return cis_buf_check(out, "diff", err);
}
