/* What texts of rows may be that become a path, an id or a column of a terminal. Asked where a row
 * is read to be acted on, and of every row of a backup: it may come from anybody who could write to
 * the database, or from a file that says it is a backup. Who writes a row makes its texts, or has
 * checked them before. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "store/store.h"

/* ---- versions: semver.org 2.0.0 ---- */
static bool version_part(struct cis_str *text, bool number)
{
    size_t n = 0;
    bool digits = true;
    while (n < text->len && text->ptr[n] != '.' && text->ptr[n] != '+' &&
           (text->ptr[n] != '-' || !number)) {
        char c = text->ptr[n];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '-') {
            return false;
        }
        digits = digits && digit;
        n++;
    }
    bool ok = n > 0 && (!number || (digits && (n == 1 || text->ptr[0] != '0')));
    text->ptr += n;
    text->len -= n;
    return ok;
}

static bool version_list(struct cis_str *text)
{
    text->ptr++;
    text->len--;
    while (version_part(text, false)) {
        if (text->len == 0 || text->ptr[0] != '.') {
            return true;
        }
        text->ptr++;
        text->len--;
    }
    return false;
}

bool cis_version_valid(struct cis_str text)
{
    if (text.len > CIS_VERSION_MAX) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            if (text.len == 0 || text.ptr[0] != '.') {
                return false;
            }
            text.ptr++;
            text.len--;
        }
        if (!version_part(&text, true)) {
            return false;
        }
    }
    if (text.len > 0 && text.ptr[0] == '-' && !version_list(&text)) {
        return false;
    }
    if (text.len > 0 && text.ptr[0] == '+' && !version_list(&text)) {
        return false;
    }
    return text.len == 0;
}

/* ---- skills ---- */
bool cis_store_plain(struct cis_str name, size_t most)
{
    if (name.len == 0 || name.len > most) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || (c != '.' && c != '_' && c != '-'))) {
            return false;
        }
    }
    return true;
}

bool cis_skill_name_valid(struct cis_str name)
{
    return cis_store_plain(name, CIS_SKILL_NAME_MAX);
}

static bool is_hash(struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) {
            return false;
        }
    }
    return text.len == 64;
}

static cis_code damaged(const char *field, struct cis_error *err)
{
    return cis_fail(err, CIS_E_DAMAGED, "the record of a skill is damaged: %s is none", field);
}

cis_code cis_skill_row_check_names(const struct cis_skill_row *row, struct cis_error *err)
{
    const char *field = !cis_skill_name_valid(row->name)                ? "its name"
                        : !cis_version_valid(row->version)              ? "its version"
                        : !is_hash(row->digest)                         ? "its digest"
                        : !is_hash(row->sha256)                         ? "the hash of its module"
                        : row->signer.len != 0 && !is_hash(row->signer) ? "the key of its signer"
                                                                        : NULL;
    return field == NULL ? CIS_OK : damaged(field, err);
}

cis_code cis_skill_row_check(const struct cis_skill_row *row, struct cis_error *err)
{
    CIS_TRY(cis_skill_row_check_names(row, err));
    if (!cis_json_valid(row->manifest.ptr, row->manifest.len, NULL)) {
        return damaged("its manifest", err);
    }
    return cis_json_valid(row->grants.ptr, row->grants.len, NULL) ? CIS_OK
                                                                  : damaged("its grants", err);
}

/* ---- runs ---- */
bool cis_run_id_valid(struct cis_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z')) {
            return false;
        }
    }
    return id.len == CIS_ID_CHARS;
}

bool cis_run_status_valid(struct cis_str status)
{
    for (size_t i = 0; i < status.len; i++) {
        if (status.ptr[i] < 'a' || status.ptr[i] > 'z') {
            return false;
        }
    }
    return status.len != 0 && status.len <= 64;
}

bool cis_run_report_valid(struct cis_str report)
{
    return report.len == 0 || (report.ptr[0] == '{' && report.ptr[report.len - 1] == '}' &&
                               cis_json_valid(report.ptr, report.len, NULL));
}

/* The mark is the last member of the report, so whatever the report says, it stands. A text that is
 * valid JSON and ends so has it as a member of the whole: its bytes hold neither a quote that is
 * escaped nor a brace that opens. */
#define MARK ",\"restored_ms\":"

static size_t mark_at(struct cis_str report, int64_t *out_ms)
{
    size_t mark = sizeof MARK - 1, at = report.len;
    uint64_t ms = 0;
    if (at == 0 || report.ptr[at - 1] != '}') {
        return report.len;
    }
    for (at--; at > 0 && report.ptr[at - 1] >= '0' && report.ptr[at - 1] <= '9';) {
        at--;
    }
    struct cis_str digits = {report.ptr + at, report.len - 1 - at};
    if (at < mark || memcmp(report.ptr + at - mark, MARK, mark) != 0 || !cis_str_u64(digits, &ms) ||
        ms == 0 || ms > INT64_MAX) {
        return report.len;
    }
    *out_ms = (int64_t)ms;
    return at - mark;
}

int64_t cis_run_restored_ms(struct cis_str report)
{
    int64_t ms = 0;
    (void)mark_at(report, &ms);
    return ms;
}

/* ---- where it was applied ---- */
#define APPLIED "{\"applied\":["

/* Where the array ends; 0: there is none. */
static size_t applied_end(struct cis_str report, struct cis_str *out_array)
{
    struct cis_str name;
    size_t at = 0;
    return cis_str_starts(report, CIS_STR(APPLIED)) &&
                   cis_json_member(report, &at, &name, out_array)
               ? at
               : 0;
}

struct cis_str cis_run_report_applied(struct cis_str report)
{
    struct cis_str array = CIS_STR("");
    return applied_end(report, &array) != 0 ? array : CIS_STR("");
}

/* What follows the array, from the brace or the comma on; without one, the report without the brace
 * that opens it. */
static struct cis_str without_applied(struct cis_str report)
{
    struct cis_str array;
    size_t end = applied_end(report, &array);
    if (end == 0 && report.len != 0 && report.ptr[0] == '{') {
        end = 1;
    }
    struct cis_str rest = {report.ptr + end, report.len - end};
    rest = cis_str_trim(rest);
    if (end > 1 && rest.len != 0 && rest.ptr[0] == ',') {
        rest = (struct cis_str){rest.ptr + 1, rest.len - 1};
    }
    return rest;
}

void cis_run_report_set_applied(struct cis_str report, struct cis_str applied, struct cis_buf *out)
{
    struct cis_str rest = without_applied(report);
    cis_buf_text(out, "{\"applied\":");
    cis_buf_str(out, applied);
    if (rest.len == 0) {
        rest = CIS_STR("}");
    }
    cis_buf_text(out, cis_str_starts(rest, CIS_STR("}")) ? "" : ",");
    cis_buf_str(out, rest);
}

bool cis_run_applied_names(struct cis_str applied, struct cis_str record)
{
    char text[CIS_FS_REF_MAX + 32];
    if (applied.len == 0 || record.len > CIS_FS_REF_MAX) {
        return false;
    }
    /* Within a text a quote is escaped: this is found where it is a member, and nowhere else. */
    int n = snprintf(text, sizeof text, "\"record\":\"%.*s\"", (int)record.len, record.ptr);
    return memmem(applied.ptr, applied.len, text, (size_t)n) != NULL;
}

void cis_run_report_restored(struct cis_str report, int64_t now_ms, struct cis_buf *out)
{
    int64_t before;
    size_t at = mark_at(report, &before);
    struct cis_str head = {report.ptr, at < report.len ? at : report.len - (report.len != 0)};
    if (report.len == 0 || head.len + 64 > CIS_STORE_REPORT_MAX) {
        head = CIS_STR("{\"schema\":1"); /* what cannot carry the mark is not kept */
    }
    if (cis_str_is(cis_str_trim(head), "{")) {
        head = CIS_STR("{\"schema\":1");
    }
    if (cis_str_starts(head, CIS_STR(APPLIED))) { /* those folders are another host's */
        size_t len = sizeof APPLIED - 1;
        cis_buf_text(out, "{\"applied_before\":[");
        head = (struct cis_str){head.ptr + len, head.len - len};
    }
    cis_buf_str(out, head);
    cis_buf_printf(out, MARK "%" PRId64 "}", now_ms);
}
