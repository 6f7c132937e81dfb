/* One action under way. Each form of the scheduler has its own file behind this: requests over
 * net.h, or a call of another component. */
#ifndef SCHEDULER_ACTION_H
#define SCHEDULER_ACTION_H

#include <jansson.h>
#include "net.h"
#include "scenario.h"
#include "text.h"

/* What an action left open for the next one of the same user. */
struct session;
void session_free(struct session *s);

enum failure { FAILED_OTHERWISE, FAILED_URL, FAILED_BIND, FAILED_CONNECT };

struct outcome {
    char *error; /* what kept it from being answered; NULL: it was. The receiver frees it */
    char *cause; /* the last part of the error; the receiver frees it, too */
    enum failure failure;
    enum net_error net; /* of what kind, when it was the network */
    int status;
    uint64_t body_len;
    char *body; /* its first part, or NULL; the receiver frees it */
    size_t body_kept;
    char *detail; /* a line that says all of it, where there is one; the receiver frees it */
    char *from;   /* the address it was sent from, when one was asked for */
};
void outcome_done(struct outcome *o);

/* Before the first action of a run, and after its last. false: *out_error is the caller's. */
bool actions_begin(char **out_error);
void actions_end(void);

struct action;
/* `with` is expanded already; both must stay. *session may be NULL and is set. */
struct action *action_begin(const struct action_def *def, const json_t *with, uint64_t now,
                            struct session **session);
/* true: it is over, *out is set. */
bool action_step(struct action *a, uint64_t now, struct outcome *out);
/* What it waits for, or NULL: that another one is over. */
struct net_socket *action_socket(const struct action *a);
uint64_t action_deadline(const struct action *a);
void action_free(struct action *a);

/* What the console is told before it begins, and the method in capitals. */
void action_announce(const struct action_def *def, const json_t *with);

#endif
