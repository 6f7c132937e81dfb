#include "guest.h"

GUEST_WIT("corelibs.wit",
          GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("http.wit") GUEST_PACKAGE("core-libs.wit"));
