/* A component in the scheduler's place that `cis scenario` must not trust, for its tests. The text
 * of the scenario says what it does. */
#include <stdio.h>
#include <string.h>
#include "guest.h"
#include "text.h"

GUEST_WIT("hostile.wit", );

#define RECORD(json) "\x1e" json "\n"
#define RED "\x1b[31mred\x1b]0;title\x07"
#define BEGIN RECORD("{\"scenario\":\"h\",\"users\":1,\"users_completed\":1}")
#define END RECORD("{\"end\":true}")

static const struct {
    const char *name, *out, *errors, *result;
    bool fails;
} plain[] = {{"escapes",
              RECORD("{\"scenario\":\"\\u001b[31mred\\nTotal users spawned: "
                     "7\",\"users\":1,\"users_completed\":1,"
                     "\"errors\":{\"\\u001b[31m<b>&\":3},\"pools\":[]}") END,
              RED "\n\x9b\xff\n", "ok", false},
             {"says no numbers", "only text\n", "", "\n" RED "\ndone\n", false},
             {"no json", BEGIN "\x1e{not json\n", "", "", false},
             {"no object", RECORD("[1]"), "", "", false},
             {"negative", RECORD("{\"users\":-1}"), "", "", false},
             {"fraction", RECORD("{\"users\":1.5}"), "", "", false},
             {"huge number", RECORD("{\"users\":9223372036854775807}"), "", "", false},
             {"no bucket", RECORD("{\"latency_us\":[33792,1]}"), "", "", false},
             {"bucket of text", RECORD("{\"latency_us\":[\"1\",1]}"), "", "", false},
             {"not a status", RECORD("{\"statuses\":{\"600\":1}}"), "", "", false},
             {"no threshold", RECORD("{\"thresholds\":[\"p99 \\u001b[31m\"]}"), "", "", false},
             {"nested", RECORD("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["), "", "", false},
             {"after the end", BEGIN END END, "", "", false},
             {"no end", BEGIN, "", "", false},
             {"fails", "", "", RED " at line 7 column 3", true},
             {"fails without a place", "", "", "why at line x column 3", true},
             {"nothing", "", "", "", false}};

static struct guest_said said;

/* 3 MiB behind a mark, and a long line without an end. */
static void print_long(void)
{
    putchar('\x1e');
    for (int i = 0; i < 3 << 20; i++) {
        putchar('x');
    }
    putchar('\n');
    for (int i = 0; i < 100; i++) {
        fprintf(stderr, "%0100d", 0);
    }
}

static void act(const char *what)
{
    if (strcmp(what, "endless records") == 0) {
        for (;;) {
            printf("\x1e{\"at_ms\":99999999,\"users\":1,\"latency_us\":[5,1,33791,1]}\n");
        }
    } else if (strcmp(what, "endless lines") == 0) {
        for (;;) {
            fprintf(stderr, "line\n");
        }
    } else if (strcmp(what, "long") == 0) {
        print_long();
    } else if (strcmp(what, "trap") == 0) {
        printf(BEGIN);
        fflush(stdout);
        __builtin_trap();
    } else if (strcmp(what, "giant") == 0) {
        said.text.len = (size_t)32 << 20;
        said.text.at = need(said.text.len);
        memset(said.text.at, 'x', said.text.len);
    }
}

GUEST_EXPORT("run-scenario") struct guest_said *run_scenario_export(char *yaml, size_t n)
{
    char *what = need_text(yaml, n);
    said = (struct guest_said){0};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcmp(what, plain[i].name) == 0) {
            fputs(plain[i].out, stdout);
            fputs(plain[i].errors, stderr);
            said.failed = plain[i].fails;
            said.text = (struct guest_text){need_text(plain[i].result, strlen(plain[i].result)),
                                            strlen(plain[i].result)};
        }
    }
    act(what);
    fflush(stdout);
    return &said;
}
