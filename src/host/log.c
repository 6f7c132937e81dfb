/* Log lines of a guest: made printable, cut and counted here, once for every ABI. */
#include "host/host.h"
#include "host/internal.h"
#include "base/json_write.h"

static const char *level_name(enum cis_log_level level)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
    return (unsigned)level < sizeof names / sizeof *names ? names[level] : "info";
}

/* Length of the character at p, 0 when there is none. */
static size_t char_len(const char *p, size_t len)
{
    size_t n = 1;
    while (n < 4 && n < len && ((unsigned char)p[n] & 0xC0) == 0x80) {
        n++;
    }
    return cis_utf8_valid(p, n) ? n : 0;
}

void cis_host_clean(struct cis_str text, struct cis_buf *out)
{
    for (size_t i = 0; i < text.len && out->failed == CIS_OK;) {
        size_t run = i;
        while (run < text.len && text.ptr[run] >= 0x20 && text.ptr[run] < 0x7F) {
            run++;
        }
        cis_buf_add(out, text.ptr + i, run - i);
        i = run;
        if (i == text.len) {
            break;
        }
        size_t n = char_len(text.ptr + i, text.len - i);
        if (n == 0) {
            cis_buf_text(out, "\xEF\xBF\xBD");
            i++;
        } else if (strchr("\t\n\r", text.ptr[i]) != NULL && text.ptr[i] != 0) {
            cis_buf_byte(out, ' ');
            i++;
        } else if (cis_utf8_steers(text.ptr + i, n)) {
            cis_buf_byte(out, '?');
            i += n;
        } else {
            cis_buf_add(out, text.ptr + i, n);
            i += n;
        }
    }
}

/* One item for the report; false when the report's cap or the budget says no. */
static bool keep(struct cis_host *host, enum cis_log_level level, struct cis_str line)
{
    struct cis_buf *log = &host->log;
    size_t before = log->len;
    uint64_t most = 6 * (uint64_t)line.len + 40; /* every byte as \u00xx */
    if (most > log->max || before > log->max - (size_t)most ||
        cis_budget_charge(&host->budget, most, "log", NULL) != CIS_OK) {
        return false;
    }
    cis_json_object(log, CIS_JSON(CIS_J("level", level_name(level)), CIS_J("text", line)));
    if (log->failed != CIS_OK) {
        log->failed = CIS_OK; /* out of memory: the lines so far stay */
        log->len = before;
        cis_budget_release(&host->budget, most);
        return false;
    }
    cis_budget_release(&host->budget, most - (log->len - before));
    return true;
}

void cis_host_log(struct cis_host *host, enum cis_log_level level, struct cis_str text)
{
    struct cis_str cut = {text.ptr, cis_utf8_floor(text.ptr, text.len, CIS_LOG_LINE_MAX)};
    while (cut.len != 0 && (cut.ptr[cut.len - 1] == '\n' || cut.ptr[cut.len - 1] == '\r')) {
        cut.len--; /* a line's own end is not part of it */
    }
    /* A byte that is no UTF-8 becomes three. */
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(3u * CIS_LOG_LINE_MAX);
    if (host->log_lines >= host->log_lines_max) {
        host->log_dropped++;
        return;
    }
    cis_host_clean(cut, &line);
    line.len = cis_utf8_floor(line.ptr, line.len, CIS_LOG_LINE_MAX);
    if (line.failed != CIS_OK || !keep(host, level, cis_buf_view(&line))) {
        host->log_dropped++;
        return;
    }
    host->log_lines++;
    const struct cis_log_service *service = host->services.log;
    if (service != NULL && service->line != NULL) {
        cis_host_block(host->instance);
        service->line(service->self, &host->call, level, line.len != 0 ? (char *)line.ptr : "",
                      line.len);
        cis_code over = cis_host_unblock(host->instance, NULL);
        (void)over; /* the guest has ended; its next step finds that out */
    }
}

void cis_host_stderr(struct cis_host *host, struct cis_bytes data)
{
    struct cis_str rest = {(const char *)data.ptr, data.len}, head;
    while (rest.len != 0) {
        bool ended = cis_str_split(&rest, '\n', &head);
        size_t room = host->errors.max - host->errors.len;
        if (head.len > room) { /* a line longer than a log line: what is over becomes the next */
            size_t back = head.len - room + (ended ? 1 : 0);
            cis_buf_add(&host->errors, head.ptr, room);
            cis_host_stderr_flush(host);
            rest = (struct cis_str){head.ptr + room, rest.len + back};
            if (host->errors.max == 0) {
                return;
            }
            continue;
        }
        cis_buf_str(&host->errors, head);
        if (host->errors.failed != CIS_OK) {
            host->log_dropped++;
            cis_buf_reset(&host->errors);
            return;
        }
        if (ended) {
            cis_host_log(host, CIS_LOG_WARN, cis_buf_view(&host->errors));
            cis_buf_reset(&host->errors);
        }
    }
}

void cis_host_stderr_flush(struct cis_host *host)
{
    if (host->errors.len != 0) {
        cis_host_log(host, CIS_LOG_WARN, cis_buf_view(&host->errors));
        cis_buf_reset(&host->errors);
    }
}
