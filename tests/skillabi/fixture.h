/* One guest on a real engine, with fake services that remember what they were asked. */
#ifndef CIS_TESTS_SKILLABI_FIXTURE_H
#define CIS_TESTS_SKILLABI_FIXTURE_H

#include "harness.h"
#include "base/clock.h"
#include "skillabi/skillabi.h"

#define ALL_GRANTS "memory ai network clocks"

struct fake {
    /* memory: one stored key, and how the service behaves */
    const char *key, *value;
    size_t value_len;
    cis_code memory_code;
    unsigned gets, searches;
    bool search_public; /* the one hit is another skill's */
    /* AI */
    const char *answer;
    size_t answer_len;
    cis_code ai_code;
    unsigned chats;
    char prompt[256];
    /* HTTP */
    uint16_t status;
    const char *body;
    size_t body_len;
    cis_code http_code;
    unsigned sends;
    char method[16], url[256], sent[256], header[256];
    /* log: "level text\n" */
    struct cis_buf log;
};

struct abi {
    cis_engine_module *image;
    cis_linked *program;
    cis_engine_instance *guest;
    struct cis_host host;
    struct cis_stop stop;
    struct cis_limits limits; /* set before abi_open to change */
    struct fake fake;
    struct cis_skillabi_result result;
    struct cis_error err;
    struct cis_buf traced; /* arguments and result of the last call of a component */
    struct cis_memory_service memory;
    struct cis_ai_service ai;
    struct cis_http_service http;
    struct cis_log_service log;
};

cis_engine *abi_engine(void);
void abi_engine_close(void);
/* Zeroes, with services that work. */
void abi_init(struct abi *a);
/* Loads text or binary, links, instantiates; grants: words of the grant grammar. */
cis_code abi_try(struct abi *a, struct cis_bytes wasm, const struct cis_skillabi_options *options,
                 const char *grants);
void abi_open(struct abi *a, const char *wat, const char *grants);
/* A guest of tests/guests. */
void abi_open_file(struct abi *a, const char *name, const char *grants);
/* Every row of a table behind an export of its own name; allocator: also exports malloc. */
void abi_open_table(struct abi *a, const char *abi, bool allocator, const char *grants);
void abi_close(struct abi *a);

/* Calls an export with numbers, as many as it takes; the code is in a->err.code. */
int64_t abi_call(struct abi *a, const char *name, ...);
cis_code abi_call_code(struct abi *a, const char *name, ...);
/* Text into the guest's memory at an offset; returns the offset. */
uint32_t abi_put(struct abi *a, uint32_t at, const char *text);
const char *abi_at(struct abi *a, uint64_t at, uint64_t len);
/* cis_skillabi_run with input; what is said goes to a->result. */
cis_code abi_run(struct abi *a, const char *input, const struct cis_skillabi_options *options);
const char *abi_value(struct abi *a);
const char *abi_log(struct abi *a);
uint64_t abi_refused(struct abi *a, enum cis_grant grant);

/* Rows that the suite has called, by "abi/module.name type". */
bool abi_was_called(const struct cis_hostfn *row);
bool abi_iface_was_called(const struct cis_ifacefn *row);

/* The groups, one file each. */
int packed_tests(void);
int buffer_tests(void);
int direct_tests(void);
int sdk_tests(void);
int plain_tests(void);
int io_tests(void);
int table_tests(void);
int resolve_tests(void);
int entry_tests(void);
int call_tests(void);
int guest_tests(void);
int component_tests(void);
int coverage_tests(void);

#endif
