/* The page of a load test: HTML with pictures in SVG, without scripts and without a network. */
#include <stdio.h>
#include "loadtest/loadtest_in.h"

#define WIDTH 800.0
#define HEIGHT 200.0
#define LEFT 70.0 /* of the picture, for what stands beside it */
#define BELOW 30.0
#define GRID_LINES 4

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    ":root{color-scheme:light dark}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\n"
    "table{border-collapse:collapse;margin:1em 0}\n"
    "td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #8885}\n"
    "td:first-child,th:first-child{text-align:left}\n"
    "svg{width:100%;height:auto}svg text{font-size:12px;fill:currentColor}\n"
    "polyline{fill:none;stroke-width:1.5}line{stroke:#8885}\n"
    ".a{stroke:#1a7f37}.b{stroke:#cf222e}.c{stroke:#0969da}.d{stroke:#9a6700}.e{stroke:#8250df}\n"
    ".ok{color:#1a7f37}.bad{color:#cf222e}\n"
    "</style>\n<title>";

/* Foreign text: what HTML or a reader's eye could take for something else is replaced. */
static void put_text(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0, n; i < text.len; i += n) {
        const char *p = text.ptr + i;
        for (n = 1; i + n < text.len && ((unsigned char)p[n] & 0xc0) == 0x80;) {
            n++;
        }
        if (*p == '&' || *p == '<' || *p == '>' || *p == '"' || *p == '\'') {
            cis_buf_printf(out, "&#%d;", *p);
        } else if (!cis_utf8_valid(p, n) || cis_utf8_steers(p, n)) {
            cis_buf_text(out, "?");
        } else {
            cis_buf_add(out, p, n);
        }
    }
}

static void put_number(struct cis_buf *out, double value)
{
    double most = 1e15;
    value = value < 0 ? 0 : value > most ? most : value;
    cis_loadtest_put_hundredths(out, (uint64_t)(value * 100 + 0.5));
}

/* ---- pictures ---- */

struct line {
    const char *name, *style;
    double (*value)(const cis_loadtest *t, const struct point *p); /* below 0: there is none */
};

static double per_second(const cis_loadtest *t, uint64_t n)
{
    return (double)n * 1000 / (double)t->interval_ms;
}

static double requests(const cis_loadtest *t, const struct point *p)
{
    return per_second(t, p->requests);
}

static double failed(const cis_loadtest *t, const struct point *p)
{
    return per_second(t, p->failed);
}

static double users(const cis_loadtest *t, const struct point *p)
{
    (void)t;
    return (double)p->users;
}

static double latency(const struct point *p, unsigned per_mille)
{
    return p->answers == 0 ? -1 : (double)cis_loadtest_point_percentile(p, per_mille) / 1000;
}

static double p50(const cis_loadtest *t, const struct point *p)
{
    (void)t;
    return latency(p, 500);
}

static double p95(const cis_loadtest *t, const struct point *p)
{
    (void)t;
    return latency(p, 950);
}

static double p99(const cis_loadtest *t, const struct point *p)
{
    (void)t;
    return latency(p, 990);
}

/* 1, 2 or 5 times a power of ten, not below the value. */
static double top_of(double value)
{
    double unit = 0.01;
    while (unit < 1e15 && unit * 10 < value) {
        unit *= 10;
    }
    return value <= unit       ? unit
           : value <= unit * 2 ? unit * 2
           : value <= unit * 5 ? unit * 5
                               : unit * 10;
}

/* Stretches without a value interrupt the line. */
static void put_line(const cis_loadtest *t, const struct line *line, double top,
                     struct cis_buf *out)
{
    bool open = false;
    for (size_t i = 0; i < t->npoints; i++) {
        double value = line->value(t, &t->points[i]);
        double x = LEFT + (WIDTH - LEFT) * ((double)i + 0.5) / (double)t->npoints;
        if (value < 0) {
            cis_buf_text(out, open ? "\"/>\n" : "");
            open = false;
            continue;
        }
        if (!open) {
            cis_buf_printf(out, "<polyline class=\"%s\" stroke-linecap=\"round\" points=\"",
                           line->style);
            put_number(out, x - 0.5); /* a single value is a dot */
            cis_buf_text(out, ",");
            put_number(out, HEIGHT - value / top * HEIGHT);
            open = true;
        }
        cis_buf_text(out, " ");
        put_number(out, x);
        cis_buf_text(out, ",");
        put_number(out, HEIGHT - value / top * HEIGHT);
    }
    cis_buf_text(out, open ? "\"/>\n" : "");
}

static void put_grid(const cis_loadtest *t, double top, struct cis_buf *out)
{
    uint64_t ms = t->interval_ms * t->npoints;
    for (int i = 0; i <= GRID_LINES; i++) {
        double y = HEIGHT - HEIGHT * i / GRID_LINES;
        cis_buf_printf(out, "<line x1=\"%d\" x2=\"%d\" y1=\"", (int)LEFT, (int)WIDTH);
        put_number(out, y);
        cis_buf_text(out, "\" y2=\"");
        put_number(out, y);
        cis_buf_printf(out, "\"/><text text-anchor=\"end\" x=\"%d\" y=\"", (int)LEFT - 6);
        put_number(out, y + 4);
        cis_buf_text(out, "\">");
        put_number(out, top * i / GRID_LINES);
        cis_buf_text(out, "</text>\n");
    }
    for (int i = 0; i <= GRID_LINES; i++) {
        cis_buf_printf(out, "<text text-anchor=\"%s\" x=\"%d\" y=\"%d\">",
                       i == GRID_LINES ? "end" : "middle",
                       (int)(LEFT + (WIDTH - LEFT) * i / GRID_LINES), (int)HEIGHT + 20);
        put_number(out, (double)ms * i / GRID_LINES / 1000);
        cis_buf_text(out, " s</text>\n");
    }
}

static void put_picture(const cis_loadtest *t, const char *title, const struct line *lines,
                        size_t n, struct cis_buf *out)
{
    double most = 0;
    for (size_t i = 0; i < t->npoints; i++) {
        for (size_t k = 0; k < n; k++) {
            double value = lines[k].value(t, &t->points[i]);
            most = value > most ? value : most;
        }
    }
    cis_buf_printf(out, "<h2>%s</h2>\n<p>", title);
    for (size_t k = 0; k < n; k++) {
        cis_buf_printf(out,
                       "<svg viewBox=\"0 0 30 10\" style=\"width:30px\"><polyline class=\"%s\" "
                       "points=\"0,5 30,5\"/></svg> %s ",
                       lines[k].style, lines[k].name);
    }
    cis_buf_printf(out, "</p>\n<svg role=\"img\" aria-label=\"%s\" viewBox=\"0 -10 %d %d\">\n",
                   title, (int)WIDTH + 10, (int)(HEIGHT + BELOW) + 10);
    put_grid(t, top_of(most), out);
    for (size_t k = 0; k < n; k++) {
        put_line(t, &lines[k], top_of(most), out);
    }
    cis_buf_text(out, "</svg>\n");
}

/* ---- tables ---- */

static void put_row(struct cis_buf *out, const char *name, uint64_t n)
{
    cis_buf_text(out, "<tr><td>");
    put_text(out, cis_str_of(name));
    cis_buf_printf(out, "</td><td>%llu</td></tr>\n", (unsigned long long)n);
}

static void put_counts(const cis_loadtest *t, struct cis_buf *out)
{
    cis_buf_text(out, "<table><tr><th>count</th><th></th></tr>\n");
    put_row(out, "users", t->counts[COUNT_USERS]);
    put_row(out, "users that failed", t->counts[COUNT_USERS_FAILED]);
    put_row(out, "requests", cis_loadtest_requests(t));
    put_row(out, "requests that failed", t->counts[COUNT_FAILED]);
    put_row(out, "assertions", t->counts[COUNT_ASSERTIONS]);
    put_row(out, "assertions that failed", t->counts[COUNT_ASSERTIONS_FAILED]);
    for (size_t i = 0; i < STATUSES; i++) {
        char name[32];
        if (t->statuses[i] > 0) {
            snprintf(name, sizeof name, "status %zu", i);
            put_row(out, name, t->statuses[i]);
        }
    }
    for (size_t i = 0; i < t->nerrors; i++) {
        put_row(out, t->errors[i].name, t->errors[i].n);
    }
    cis_buf_text(out, "</table>\n");
}

static void put_latencies(const cis_loadtest *t, struct cis_buf *out)
{
    static const unsigned rows[] = {500, 900, 950, 990, 999};
    cis_buf_text(out, "<table><tr><th>latency</th><th>ms</th></tr>\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cis_buf_printf(out, "<tr><td>p%u", rows[i] / 10);
        cis_buf_text(out, rows[i] % 10 != 0 ? ".9" : "");
        cis_buf_text(out, "</td><td>");
        cis_loadtest_put_ms(out, cis_histogram_percentile(&t->us, rows[i]));
        cis_buf_text(out, "</td></tr>\n");
    }
    cis_buf_text(out, "<tr><td>max</td><td>");
    cis_loadtest_put_ms(out, t->us.max);
    cis_buf_text(out, "</td></tr></table>\n");
}

static void put_thresholds(const cis_loadtest *t, struct cis_buf *out)
{
    struct cis_threshold_numbers numbers = cis_loadtest_numbers(t);
    if (t->nthresholds == 0) {
        return;
    }
    cis_buf_text(out, "<table><tr><th>threshold</th><th>was</th><th></th></tr>\n");
    for (size_t i = 0; i < t->nthresholds; i++) {
        double value;
        char text[32];
        bool holds = cis_threshold_holds(&t->thresholds[i], &numbers, &value);
        cis_threshold_value(&t->thresholds[i], value, text);
        cis_buf_text(out, "<tr><td>");
        put_text(out, cis_str_of(t->thresholds[i].text));
        cis_buf_printf(out, "</td><td>%s</td><td class=\"%s</td></tr>\n", text,
                       holds ? "ok\">held" : "bad\">failed");
    }
    cis_buf_text(out, "</table>\n");
}

static void put_verdict(const struct cis_loadtest_page *page, struct cis_buf *out)
{
    struct cis_str rest = page->failures, line;
    if (page->note == NULL && rest.len == 0) {
        cis_buf_text(out, "<p class=\"ok\">It held.</p>\n");
    }
    if (page->note != NULL) {
        cis_buf_text(out, "<p class=\"bad\">");
        put_text(out, cis_str_of(page->note));
        cis_buf_text(out, "</p>\n");
    }
    while (rest.len > 0) {
        (void)cis_str_split(&rest, '\n', &line);
        cis_buf_text(out, "<p class=\"bad\">");
        put_text(out, line);
        cis_buf_text(out, "</p>\n");
    }
}

void cis_loadtest_html(const cis_loadtest *t, const struct cis_loadtest_page *page,
                       struct cis_buf *out)
{
    static const struct line throughput[] = {
        {"requests/s", "a", requests}, {"failed/s", "b", failed}, {"users", "c", users}};
    static const struct line latencies[] = {
        {"p50", "c", p50}, {"p95", "d", p95}, {"p99", "e", p99}};
    struct cis_str name = cis_str_of(t->scenario[0] != 0 ? t->scenario : "load test");
    cis_buf_text(out, head);
    put_text(out, name);
    cis_buf_text(out, "</title></head><body>\n<h1>");
    put_text(out, name);
    cis_buf_text(out, "</h1>\n<p>");
    put_text(out, page->when);
    cis_buf_printf(out, ", %zu instance%s, ", t->ninstances, t->ninstances == 1 ? "" : "s");
    put_number(out, (double)cis_loadtest_millis(t) / 1000);
    cis_buf_text(out, " s, ");
    cis_loadtest_put_rate(out, t->counts[COUNT_ANSWERED], cis_loadtest_millis(t));
    cis_buf_text(out, " answers/s</p>\n");
    put_verdict(page, out);
    put_thresholds(t, out);
    if (t->npoints > 0) {
        put_picture(t, "Throughput", throughput, 3, out);
        put_picture(t, "Latency in ms", latencies, 3, out);
    }
    put_latencies(t, out);
    put_counts(t, out);
    cis_buf_text(out, "</body></html>\n");
}
