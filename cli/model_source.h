/* model_source.h: what the commands do with hub/ in the same way: find the file of -m, and show
 * notes and progress of downloads on stderr.
 *
 * Functions that can fail print the message themselves and return an exit status. */
#ifndef PUNA_CLI_MODEL_SOURCE_H
#define PUNA_CLI_MODEL_SOURCE_H

#include <jansson.h>

#include "cli_options.h"
#include "hub/hub.h"
#include "progress.h"

/* The program as hub/ sees it. Begin with {0}. */
typedef struct model_source {
    progress bar;
    const char *what; /* of the bar, NULL before the first */
    double rate;      /* bytes per second, smoothed */
    double mark_s;    /* when it was last taken */
    uint64_t mark_bytes;
} model_source;

hub_host model_source_host(model_source *source);
/* Takes the bar away. */
void model_source_end(model_source *source);

/* The file to open for -m, to be freed. A name that is not here yet is fetched. */
int model_source_find(const options *o, char **path);

/* What pull and ls say about a model. */
json_t *model_source_json(const hub_model *model);

/* Prints what hub/ reports. Returns the exit status for it. */
int model_source_failed(hub_status status, const hub_error *err);

#endif
