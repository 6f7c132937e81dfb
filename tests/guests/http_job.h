/* One request of the guest http, from its arguments. */
#ifndef CIS_TESTS_GUEST_HTTP_JOB_H
#define CIS_TESTS_GUEST_HTTP_JOB_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http_abi.h"

#define MANY 16

struct job {
    const char *method, *scheme, *authority, *path;
    const char *header[MANY], *trailer[MANY]; /* "Name: value" */
    int nheaders, ntrailers;
    const char *body;  /* NULL: none */
    uint64_t repeat;   /* the body's length then, all of it 'x' */
    const char *times; /* "connect,first,between" */
    bool blocking;     /* writes by blocking-write-and-flush */
    bool early;        /* the body is written before the request is handed over */
    bool unfinished;   /* and never ended */
    bool held;         /* the stream is still there when the body is ended */
    bool count;        /* the response's body is counted, not shown */
    int stop;          /* after so many steps everything is dropped; 0: never */
    bool reverse;      /* the other way round */
};

/* What is alive; 0: not. */
struct live {
    uint32_t request, out_body, out, future, response, in_body, in, trailers;
    uint64_t left;
    int steps;
};

const char *error_name(uint32_t is);
void tell_error(const char *what, const struct error_code *error);
/* 0, or 1 when something was told as an error. */
int run_job(const struct job *job);
int check_fields(void);
int check_objects(void);
int check_many(uint32_t n);
int check_hold(const char *authority, const char *what, uint32_t most);
int check_keep(const char *authority, const char *path, bool read, uint32_t most);

#endif
