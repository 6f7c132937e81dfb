#include "guest.h"

GUEST_WIT("direct.wit", GUEST_PACKAGE("wasi.wit"));
