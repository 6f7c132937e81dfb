#include "guest.h"

GUEST_WIT("direct.wit", GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("http.wit"));
