/* wasi:clocks/timezone: the zone of this process, its variable TZ or else the system's. A time that
 * has none there is UTC, as the interface says. */
#include <pthread.h>
#include <time.h>
#include "wasi/p2/internal.h"

struct when { /* wall-clock's datetime */
    uint64_t seconds;
    uint32_t nanoseconds;
};
struct display {
    int32_t offset; /* seconds east of UTC */
    struct cis_str name;
    bool summer;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct display display_of(uint64_t seconds)
{
    struct display utc = {0, CIS_STR("UTC"), false};
    struct tm tm = {0};
    time_t at = (time_t)seconds;
    pthread_once(&once, tzset); /* localtime_r need not do it */
    if (seconds > INT64_MAX || localtime_r(&at, &tm) == NULL) {
        return utc;
    }
    /* Names are kept by the library for as long as the process lives. */
    struct cis_str name = cis_str_of(tm.tm_zone != NULL ? tm.tm_zone : "");
    return (struct display){(int32_t)tm.tm_gmtoff,
                            cis_utf8_valid(name.ptr, name.len) ? name : CIS_STR(""),
                            tm.tm_isdst > 0};
}

static cis_code display(cis_engine_instance *instance, const void *args, void *result,
                        struct cis_error *err)
{
    const struct when *a = args;
    (void)instance, (void)err;
    *(struct display *)result = display_of(a->seconds);
    return CIS_OK;
}

static cis_code utc_offset(cis_engine_instance *instance, const void *args, void *result,
                           struct cis_error *err)
{
    const struct when *a = args;
    (void)instance, (void)err;
    *(int32_t *)result = display_of(a->seconds).offset;
    return CIS_OK;
}

#define WHEN "record{seconds:u64,nanoseconds:u32}"
#define ROW(n, result_text, result_, h, text)                                                      \
    {                                                                                              \
        .interface = "wasi:clocks/timezone", .name = (n),                                          \
        .type = "func(" WHEN ") -> " result_text, CIS_STRUCTS(h, struct when, result_),            \
        .denied = -1, .grant = CIS_GRANT_CLOCKS, .cost = 1, .params = "when", .doc = (text)        \
    }
static const struct cis_ifacefn rows[] = {
    ROW("display", "record{utc-offset:s32,name:string,in-daylight-saving-time:bool}",
        struct display, display, "The zone's offset, name and season at a time."),
    ROW("utc-offset", "s32", int32_t, utc_offset, "Seconds that it is ahead of UTC then."),
};
const struct cis_iface_table cis_p2_timezone_table = {
    .abi = "wasi", .version = "0.2.12", .rows = rows, .nrows = sizeof rows / sizeof *rows};
