/* log.h: messages for whoever set puna_set_log; nobody by default. */
#ifndef PN_BASE_LOG_H
#define PN_BASE_LOG_H

#include "puna.h"

void pn_log(puna_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
