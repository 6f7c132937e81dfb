/* What a component prints, line by line: records are counted, the rest is for people. */
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "cli/scenario/instances.h"

void cis_scenario_say(const struct cis_scenario_instances *all, const char *head,
                      struct cis_str text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(65536);
    /* A line of progress may stand on the terminal. */
    cis_buf_text(&line, !all->quiet && isatty(STDERR_FILENO) ? "\r\033[K" : "");
    cis_buf_text(&line, head);
    cis_cli_printable_line(&line, text);
    cis_buf_byte(&line, '\n');
    cis_fd_write_all(STDERR_FILENO, line.ptr, line.len);
}

/* Its numbers cannot be counted: the run is ended. */
static void broken(struct cis_scenario_lines *l, const struct cis_error *why)
{
    struct cis_scenario_instances *all = l->all;
    pthread_mutex_lock(&all->lock);
    if (!all->broken) {
        all->broken = true;
        cis_fail(&all->broken_why, CIS_E_INVALID, "a record of the component is wrong: %s",
                 why->msg);
    }
    pthread_mutex_unlock(&all->lock);
    cis_cancel_fire(all->scenario->cli->cancel);
}

static void record(struct cis_scenario_lines *l, struct cis_str json)
{
    struct cis_error why = {0};
    uint64_t elapsed_ms = (cis_clock_mono_ns() - l->all->began_ns) / CIS_NS_PER_MS;
    if (cis_loadtest_record(l->all->test, l->instance, json, elapsed_ms, &why) != CIS_OK) {
        broken(l, &why);
    }
}

/* Lines of stderr, as many as somebody would read. */
static bool shows(struct cis_scenario_instances *all)
{
    pthread_mutex_lock(&all->lock);
    bool yes = all->shown < CIS_SCENARIO_ERRORS_SHOWN;
    all->shown += yes;
    all->not_shown += !yes;
    pthread_mutex_unlock(&all->lock);
    return yes;
}

static void line_ends(struct cis_scenario_lines *l)
{
    struct cis_str text = cis_buf_view(&l->line);
    if (!l->errors && text.len > 0 && text.ptr[0] == CIS_LOADTEST_MARK) {
        /* What is left of a record that is too long is no JSON, which is said. */
        record(l, (struct cis_str){text.ptr + 1, text.len - 1});
    } else if (l->all->verbose || (l->errors && text.len > 0 && shows(l->all))) {
        cis_scenario_say(l->all, "", text);
    }
    cis_buf_reset(&l->line);
    l->skip = false;
}

/* A part of a line, which is cut where it is too long. */
static void add(struct cis_scenario_lines *l, const char *at, size_t n)
{
    char first = l->line.len > 0 ? (char)l->line.ptr[0] : n > 0 ? *at : 0;
    bool is_record = !l->errors && first == CIS_LOADTEST_MARK;
    size_t most = is_record ? CIS_LOADTEST_RECORD_MAX : CIS_SCENARIO_LINE_MAX;
    size_t room = l->line.len < most ? most - l->line.len : 0;
    if (l->skip || n > room) {
        l->skip = true;
        n = n < room ? n : room;
    }
    cis_buf_add(&l->line, at, n);
}

void cis_scenario_lines_end(struct cis_scenario_lines *l)
{
    if (l->errors && l->line.len > 0) {
        line_ends(l);
    }
}

int cis_scenario_write(void *self, const void *data, size_t len, size_t *out_n)
{
    struct cis_scenario_lines *l = self;
    const char *at = data, *end = at + len;
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        const char *stop = feed != NULL ? feed : end;
        add(l, at, (size_t)(stop - at));
        if (feed != NULL) {
            line_ends(l);
        }
        at = feed != NULL ? feed + 1 : end;
    }
    *out_n = len;
    return 0;
}
