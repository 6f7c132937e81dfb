#include "guest.h"

GUEST_WIT("actions-http.wit",
          GUEST_PACKAGE("wasi.wit") GUEST_PACKAGE("http.wit") GUEST_PACKAGE("actions-http.wit"));
