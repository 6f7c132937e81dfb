/* JSON: what is said to read back does, by the library that the program reads with; and the members
 * of an object are values themselves. libFuzzer target; replay.c runs it over the corpus. */
#include <jansson.h>
#include <stdlib.h>
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() is compiled out in release builds; a finding must always end the program. */
static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    bool valid = cis_json_valid(data, size, NULL), reads = cis_json_reads(data, size);
    json_t *json = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    require(!reads || valid);
    require(!reads || json != NULL);
    struct cis_str name, value;
    size_t at = 0, n = 0;
    while (cis_json_member((struct cis_str){text, size}, &at, &name, &value)) {
        require(at <= size && cis_json_valid(value.ptr, value.len, NULL));
        n++;
    }
    require(!valid || json_object_size(json) <= n); /* a name that is there twice is one */
    json_decref(json);
    return 0;
}
