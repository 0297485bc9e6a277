/* version.c: the version of the library. */
#include "puna.h"

const char *puna_version(void) {
    return PUNA_VERSION;
}
