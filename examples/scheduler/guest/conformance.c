/* The guest of tests/provider_corelibs as a component of its own. */
#include "guest.h"

GUEST_WIT("conformance.wit", GUEST_PACKAGE("core-libs.wit"));

#include "../../../tests/guests/corelibs.c"
