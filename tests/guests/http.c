/* A program that speaks wasi:http.
 *   http METHOD SCHEME AUTHORITY PATH [WHAT=VALUE ...]   one request (http_job.h)
 *   http hold AUTHORITY exchanges|bodies N            as many as that at once
 *   http keep AUTHORITY PATH read|unread N              so many, and nothing of them is dropped
 *   http fields | objects | many N | outparam            what the resources do by themselves */
#include "http_job.h"

__asm__(".section \".custom_section.cis:wit\",\"\",@\n"
        ".incbin \"" HTTP_WIT "http_world.wit\"\n"
        ".incbin \"" HTTP_WIT "http_interfaces.wit\"\n"
        ".text\n");

/* What the engine puts lists into. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t had, size_t align,
                                                                size_t want)
{
    (void)had, (void)align;
    return want != 0 ? realloc(old, want) : (void *)align;
}

const char *error_name(uint32_t is)
{
    static const char *const names[] = {
        "DNS-timeout",
        "DNS-error",
        "destination-not-found",
        "destination-unavailable",
        "destination-IP-prohibited",
        "destination-IP-unroutable",
        "connection-refused",
        "connection-terminated",
        "connection-timeout",
        "connection-read-timeout",
        "connection-write-timeout",
        "connection-limit-reached",
        "TLS-protocol-error",
        "TLS-certificate-error",
        "TLS-alert-received",
        "HTTP-request-denied",
        "HTTP-request-length-required",
        "HTTP-request-body-size",
        "HTTP-request-method-invalid",
        "HTTP-request-URI-invalid",
        "HTTP-request-URI-too-long",
        "HTTP-request-header-section-size",
        "HTTP-request-header-size",
        "HTTP-request-trailer-section-size",
        "HTTP-request-trailer-size",
        "HTTP-response-incomplete",
        "HTTP-response-header-section-size",
        "HTTP-response-header-size",
        "HTTP-response-body-size",
        "HTTP-response-trailer-section-size",
        "HTTP-response-trailer-size",
        "HTTP-response-transfer-coding",
        "HTTP-response-content-coding",
        "HTTP-response-timeout",
        "HTTP-upgrade-failed",
        "HTTP-protocol-error",
        "loop-detected",
        "configuration-error",
        "internal-error",
    };
    return is < sizeof names / sizeof *names ? names[is] : "?";
}

void tell_error(const char *what, const struct error_code *error)
{
    printf("%s: %s", what, error_name(error->is));
    if (error->is == 17 && error->bytes.has) {
        printf("(%llu)", (unsigned long long)error->bytes.n);
    }
    printf("\n");
}

static bool is(const char *arg, const char *name, const char **value)
{
    size_t n = strlen(name);
    *value = arg + n + 1;
    return strncmp(arg, name, n) == 0 && arg[n] == '=';
}

static void take(struct job *job, const char *arg)
{
    const char *value;
    if (is(arg, "header", &value) && job->nheaders < MANY) {
        job->header[job->nheaders++] = value;
    } else if (is(arg, "trailer", &value) && job->ntrailers < MANY) {
        job->trailer[job->ntrailers++] = value;
    } else if (is(arg, "body", &value)) {
        job->body = value;
    } else if (is(arg, "repeat", &value)) {
        job->body = "";
        job->repeat = strtoull(value, NULL, 10);
    } else if (is(arg, "times", &value)) {
        job->times = value;
    } else if (is(arg, "stop", &value)) {
        job->stop = atoi(value);
    } else {
        job->blocking |= strcmp(arg, "blocking") == 0;
        job->early |= strcmp(arg, "early") == 0;
        job->unfinished |= strcmp(arg, "unfinished") == 0;
        job->held |= strcmp(arg, "held") == 0;
        job->count |= strcmp(arg, "count") == 0;
        job->reverse |= strcmp(arg, "reverse") == 0;
    }
}

/* Every stage at which everything can be dropped, both ways round; then it still works. */
static int all_stops(struct job job)
{
    for (int i = 1; i < 24; i++) {
        job.stop = i / 2 + 1;
        job.reverse = i % 2 == 0;
        run_job(&job);
    }
    job.stop = 0;
    return run_job(&job);
}

int main(int argc, char **argv)
{
    /* The linker wraps cabi_realloc into what flushes stdout, which may not be done there. */
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 2 && strcmp(argv[1], "fields") == 0) {
        return check_fields();
    }
    if (argc == 2 && strcmp(argv[1], "objects") == 0) {
        return check_objects();
    }
    if (argc == 3 && strcmp(argv[1], "many") == 0) {
        return check_many((uint32_t)atoi(argv[2]));
    }
    if (argc == 2 && strcmp(argv[1], "outparam") == 0) {
        outparam_set(1, true, 0, 0, 0, 0, 0, 0, 0); /* there is no such handle */
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "hold") == 0) {
        return check_hold(argv[2], argv[3], (uint32_t)atoi(argv[4]));
    }
    if (argc == 6 && strcmp(argv[1], "keep") == 0) {
        return check_keep(argv[2], argv[3], strcmp(argv[4], "read") == 0, (uint32_t)atoi(argv[5]));
    }
    if (argc < 5) {
        return 2;
    }
    struct job job = {.method = argv[1], .scheme = argv[2], .authority = argv[3], .path = argv[4]};
    for (int i = 5; i < argc; i++) {
        take(&job, argv[i]);
    }
    return job.stop < 0 ? all_stops(job) : run_job(&job);
}
