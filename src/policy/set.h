/* Comparing single grants: the relation that matching, removal, intersection and cover share. Room
 * internal. */
#ifndef CIS_POLICY_SET_H
#define CIS_POLICY_SET_H

#include "policy/grant.h"

/* Does every URL that `inner` names also match `outer`? A wildcard stands for exactly one label. */
bool cis_origin_covers(const struct cis_origin *outer, const struct cis_origin *inner);
bool cis_net_rule_covers(const struct cis_net_rule *outer, const struct cis_net_rule *inner);
/* The host (of BIND: the CIDR) that both name, on some port; NULL: nothing is in both. Of the rules
 * or static. */
const char *cis_net_rules_meet(const struct cis_net_rule *a, const struct cis_net_rule *b);
/* Does listen: at some port of what it names allow binding to some of what bind: names? */
bool cis_net_rule_binds(const struct cis_net_rule *listen, const struct cis_net_rule *bind);
/* Would `network` allow this origin (addresses are vetted later)? */
bool cis_policy_public_origin(const char *host, bool wildcard, uint16_t port);
/* Appends a copy unless an equal entry is there; CIS_E_LIMIT over CIS_GRANTS_MAX. Sets the bit. */
cis_code cis_grants_push_origin(struct cis_grants *grants, const struct cis_origin *origin,
                                struct cis_error *err);
cis_code cis_grants_push_net(struct cis_grants *grants, const struct cis_net_rule *rule,
                             struct cis_error *err);
cis_code cis_grants_push_env(struct cis_grants *grants, struct cis_str name, struct cis_error *err);
/* Sets HTTP, NET and ENV from the lists, which are the truth. */
void cis_grants_recount(struct cis_grants *grants);

#define CIS_GRANT_BITS_LISTED                                                                      \
    (CIS_GRANT_BIT(CIS_GRANT_HTTP) | CIS_GRANT_BIT(CIS_GRANT_NET) | CIS_GRANT_BIT(CIS_GRANT_ENV))

#endif
