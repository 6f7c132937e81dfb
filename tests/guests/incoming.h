/* Between the parts of the guest incoming: the request that is being answered, and small helpers.
 */
#ifndef CIS_TESTS_GUEST_INCOMING_H
#define CIS_TESTS_GUEST_INCOMING_H

#include "http_abi.h"

struct asked {
    uint32_t request, out; /* incoming-request, response-outparam; 0: given away */
    struct list path;
};
#define TEXT(literal) (literal), sizeof(literal) - 1

/* Lists that the host hands over lie in an arena, which is empty again after this. */
void arena_reset(void);
bool same(struct list text, const char *to);
/* The number behind the last '/' of the path. */
uint64_t number_of(struct list path);
uint32_t write_number(char *to, uint64_t n);
/* A set with at most one field; value NULL: none. */
uint32_t fields_with(const char *name, uint32_t name_len, const void *value, uint32_t value_len);
/* A response of this status and these fields as the answer; its body. */
uint32_t answer_with(struct asked *a, uint32_t status, uint32_t fields);
uint32_t stream_of(uint32_t body);
/* False: the stream takes no more. */
bool write_all(uint32_t stream, const void *data, uint32_t len);
/* The failure of finish as its case + 1; 0: none. */
uint32_t finish(uint32_t body, uint32_t trailers);
/* The whole answer. */
void say(struct asked *a, uint32_t status, const void *text, uint32_t len);
void give_error(struct asked *a, uint32_t is, const char *text, uint32_t len);

/* incoming_bodies.c */
void echo(struct asked *a, bool polls);
void count(struct asked *a);
void give(struct asked *a, uint64_t n);
void odd(struct asked *a, uint64_t order);
void early(struct asked *a, uint64_t which);

#endif
