#include "guest.h"

GUEST_WIT("static.wit",
          GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("http.wit") GUEST_PACKAGE("core-libs.wit")
              GUEST_PACKAGE("actions-http.wit") GUEST_PACKAGE("executor.wit"));
