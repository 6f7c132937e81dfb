/* Everything libcis offers. */
#ifndef CIS_CIS_H
#define CIS_CIS_H

#include "cis/cancel.h"
#include "cis/component.h"
#include "cis/compose.h"
#include "cis/error.h"
#include "cis/http_handler.h"
#include "cis/runtime.h"
#include "cis/service.h"
#include "cis/skill.h"
#include "cis/version.h"
#include "cis/wasi.h"
#include "cis/workspace.h"

#endif
