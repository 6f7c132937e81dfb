/* An interface of an embedder's with a resource, and a component that uses it. */
#ifndef CIS_TESTS_API_ORDERS_H
#define CIS_TESTS_API_ORDERS_H

#include <stdatomic.h>
#include "cis/cis.h"
#include "harness.h"

#define ORDERS "acme:shop/orders@1.2.0"

/* Orders, counted: each that was made has to be dropped or closed once. */
extern atomic_int made, dropped, closed;
/* What cis_wit_data gave to f_add. */
extern _Thread_local void *last_data;

enum cis_code f_new(void *self, cis_wit_call *call);
enum cis_code f_add(void *self, cis_wit_call *call);
enum cis_code f_close(void *self, cis_wit_call *call);
enum cis_code f_hello(void *self, cis_wit_call *call);

/* All of them as ORDERS; yours to free. */
cis_provider *provider_new(cis_wit_fn *hello);

/* many(n): n orders, each added to and dropped; the sum. give(n): an order of n is closed.
 * leave(n): n orders are made and kept; then n 7: a trap, 8: it goes on for ever. greet(x): what
 * hello says. add(n): the result of adding n to a new order. */
extern const char orders_guest[];

#endif
