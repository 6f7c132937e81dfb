/* A scenario: what the YAML says, read, checked and translated. The two forms of YAML that are read
 * are described in the README. All of it belongs to the scenario. */
#ifndef SCHEDULER_SCENARIO_H
#define SCHEDULER_SCENARIO_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "loadtest/threshold.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define USERS_MAX UINT64_C(1000000)
#define THRESHOLDS_MAX 64

struct place {
    size_t line, column; /* from 1; 0: none is known */
};
struct resource_def {
    char *id, *type;
    json_t *properties;
};
struct range_def {
    char *cidr;
    struct place place;
};
struct pool_def {
    char *id, *name, *strategy; /* strategy may be NULL */
    struct range_def *ranges;
    size_t nranges;
};
struct export_def {
    char *type, *name, *scope; /* scope may be NULL */
    json_t *initial;           /* NULL: no default */
};
struct action_def {
    char *id, *call;
    json_t *with;
    bool constant; /* nothing in `with` is a template; once checked */
    struct export_def *exports;
    size_t nexports;
    uint64_t timeout; /* ns */
};
struct edge_def {
    char *to, *condition, *label; /* condition and label may be NULL */
    bool trigger;                 /* there is one, perhaps without a condition */
    size_t target;                /* index of the node, once checked */
    struct place place;
};
struct node_def {
    char *id, *action; /* action may be NULL */
    bool end;
    struct edge_def *edges;
    size_t nedges;
    size_t action_index; /* once checked; SIZE_MAX: none */
    uint64_t think;      /* ns after it */
    struct place place;
};
struct phase_def {
    uint64_t at, over; /* ns: when it begins, and over what time its users are spread */
    uint64_t users;
    char *tenant, *pool; /* may be NULL */
};
enum binding { PER_USER, SHARED, PER_TASK };

struct load_def {
    struct phase_def *phases;
    size_t nphases;
    bool loop;
    uint64_t iterations; /* 0: without end */
    char *think_text;
    uint64_t think;    /* ns between iterations */
    uint64_t duration; /* ns; no user begins an iteration after it. 0: none */
    bool bound;        /* users have addresses of a pool */
    char *pool;
    enum binding strategy;
    bool until_exit;    /* an address is kept until the user leaves */
    uint64_t max_users; /* at the same time; 0: any number */
    uint64_t spawn_gap; /* ns between two users; 0: none */
};

struct scenario {
    char *version, *name;
    struct resource_def *resources;
    size_t nresources;
    struct pool_def *pools;
    size_t npools;
    struct action_def *actions;
    size_t nactions;
    struct node_def *nodes;
    size_t nnodes;
    size_t start; /* index of the node `start`, once checked; SIZE_MAX: there is none */
    bool has_load;
    struct load_def load;
    struct cis_threshold *thresholds;
    size_t nthresholds;
};

/* false: *out_error is the caller's to free, *out needs no scenario_done. */
bool scenario_parse(const char *yaml, size_t n, struct scenario *out, char **out_error);
/* References between nodes and actions; fills in the indexes. */
bool scenario_check(struct scenario *s, char **out_error);
void scenario_done(struct scenario *s);

/* A place for one more item at the end of an array. */
#define ONE_MORE(array, n) ((array) = one_more((array), &(n), sizeof *(array)), &(array)[(n)-1])
void *one_more(void *array, size_t *n, size_t size);

#endif
