#include "options.h"
#include <stdlib.h>
#include <string.h>
#include "text.h"

#define INSTANCES_MAX 1024

struct options options = {.of = 1};

static bool share_of(const char *s, struct options *out)
{
    const char *slash = strchr(s, '/');
    uint64_t share, of;
    if (slash == NULL || !number_of(s, (size_t)(slash - s), INSTANCES_MAX, &share) ||
        !number_of(slash + 1, strlen(slash + 1), INSTANCES_MAX, &of) || share >= of) {
        return false;
    }
    out->share = (unsigned)share;
    out->of = (unsigned)of;
    return true;
}

bool options_read(struct options *out, char **out_error)
{
    const char *mode = getenv("SCHEDULER_MODE"), *progress = getenv("SCHEDULER_PROGRESS");
    const char *share = getenv("SCHEDULER_SHARE"), *wrong = NULL;
    *out = (struct options){.of = 1};
    out->check = mode != NULL && strcmp(mode, "check") == 0;
    if (mode != NULL && !out->check) {
        wrong = "SCHEDULER_MODE: expected check";
    } else if (progress != NULL && (!duration_of(progress, &out->progress) || out->progress == 0)) {
        wrong = "SCHEDULER_PROGRESS: expected a time such as 500ms";
    } else if (share != NULL && !share_of(share, out)) {
        wrong = "SCHEDULER_SHARE: expected a number and how many there are, such as 0/2";
    }
    out->quiet = out->progress != 0 && getenv("SCHEDULER_VERBOSE") == NULL;
    if (wrong != NULL) {
        *out_error = need_text(wrong, strlen(wrong));
    }
    return wrong == NULL;
}
