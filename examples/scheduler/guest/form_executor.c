#include "guest.h"

GUEST_WIT("executor.wit", GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("actions-http.wit")
                              GUEST_PACKAGE("executor.wit"));
