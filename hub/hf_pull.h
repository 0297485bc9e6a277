/* hf_pull.h: from a name on the Hugging Face hub to files on disk: found in the cache, or fetched
 * into it. */
#ifndef PUNA_HUB_HF_PULL_H
#define PUNA_HUB_HF_PULL_H

#include "names.h"

/* Looks in the cache at root only; HUB_NOT_HERE when the model is not there, or not all of it. */
hub_status hf_find(const char *root, const hub_request *request, const model_name *name,
                   hub_model *out, hub_error *err);

/* Asks the hub and fetches what is missing. */
hub_status hf_pull(const hub_request *request, const model_name *name, const hub_host *host,
                   hub_model *out, hub_error *err);

#endif
