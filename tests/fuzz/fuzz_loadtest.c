/* Records of a load test as a component may write them, one a line, and what is made of them. */
#include <stdint.h>
#include <stdlib.h>
#include "base/json.h"
#include "loadtest/loadtest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void print(const cis_loadtest *test)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(8u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(8u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf page = CIS_BUF_INIT(8u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf failures = CIS_BUF_INIT(1u << 20);
    (void)cis_loadtest_failures(test, &failures);
    cis_loadtest_text(test, &text);
    cis_buf_text(&json, "{");
    cis_loadtest_json(test, &json);
    cis_buf_text(&json, "}");
    struct cis_loadtest_page about = {CIS_STR("now"), cis_buf_view(&failures), NULL};
    cis_loadtest_html(test, &about, &page);
    require(json.failed == CIS_OK && text.failed == CIS_OK && page.failed == CIS_OK);
    require(cis_json_valid(json.ptr, json.len, NULL));
    for (size_t i = 0; i < page.len; i++) { /* no foreign control character */
        require(page.ptr[i] >= 0x20 || page.ptr[i] == '\n');
    }
    require(memmem(page.ptr, page.len, "<script", 7) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cis_str rest = {(const char *)data, size}, line;
    struct cis_error err = {0};
    struct cis_loadtest_look look;
    cis_loadtest *test;
    if (cis_loadtest_new(2, &test, &err) != CIS_OK) {
        return 0;
    }
    for (size_t n = 0; rest.len > 0 && n < 1000; n++) {
        (void)cis_str_split(&rest, '\n', &line);
        (void)cis_loadtest_record(test, n % 2, line, UINT64_C(1) << (n % 50), &err);
    }
    cis_loadtest_look(test, &look);
    require(look.p50_us <= look.p95_us && look.p95_us <= look.p99_us);
    if (cis_loadtest_any(test)) { /* most inputs are none: a hundred times as many are tried */
        print(test);
    }
    cis_loadtest_free(test);
    return 0;
}
