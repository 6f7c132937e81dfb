#include "guest.h"

GUEST_WIT("core.wit", GUEST_PACKAGE("core-libs.wit"));
