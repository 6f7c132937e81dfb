#include "guest.h"

GUEST_WIT("plugged.wit", GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("actions-http.wit"));
