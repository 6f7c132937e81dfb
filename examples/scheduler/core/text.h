/* Text that grows, up to a maximum given at its beginning, and memory that is there or ends the
 * program: a guest whose memory is used up has nothing to give back. */
#ifndef SCHEDULER_TEXT_H
#define SCHEDULER_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed. Ends the program when there is none. */
void *need(size_t n);
void *need_more(void *old, size_t n);
char *need_text(const char *at, size_t n); /* with a zero behind */

struct text {
    char *at; /* NULL until something is there; always with a zero behind */
    size_t len, cap, max;
    bool cut; /* more than max was put */
};
#define TEXT_INIT(most)                                                                            \
    {                                                                                              \
        .max = (most)                                                                              \
    }

void text_put(struct text *t, const char *at, size_t n);
void text_add(struct text *t, const char *s);
void text_number(struct text *t, uint64_t n);
void text_format(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(struct text *t); /* keeps the memory */
void text_done(struct text *t);
/* The text; the caller frees it. Never NULL. */
char *text_take(struct text *t);

/* A slice without blanks at its ends. */
struct slice {
    const char *at;
    size_t len;
};
struct slice slice_trim(const char *at, size_t n);
bool slice_is(struct slice s, const char *what);

/* A number in decimal digits, nothing else. */
bool number_of(const char *at, size_t n, uint64_t max, uint64_t *out);
/* "<uint>ms", "<uint>s", "<uint>m", blanks around and before the unit allowed, in nanoseconds. */
bool duration_of(const char *s, uint64_t *out_ns);
#define DURATION_FORM "Expected format: <number>ms|s|m"

#endif
