/* pip_config.h: which package index pip would use: its configuration files and PIP_ variables.
 *
 * Files, later ones win: $XDG_CONFIG_DIRS/pip/pip.conf, /etc/pip.conf, ~/.pip/pip.conf,
 * $XDG_CONFIG_HOME/pip/pip.conf, $VIRTUAL_ENV/pip.conf, and $PIP_CONFIG_FILE, which takes the
 * place of the user's own. [download] wins over [global], the environment over both. */
#ifndef PUNA_HUB_PIP_CONFIG_H
#define PUNA_HUB_PIP_CONFIG_H

#include "hub_base.h"

typedef struct pip_config {
    string_list indexes; /* index-url, then extra-index-url; without a slash at the end */
    char *certificates;  /* cert, or NULL */
    bool no_index;
} pip_config;

void pip_config_read(pip_config *out);
void pip_config_clear(pip_config *config);

/* The settings of one section, as far as they matter here; NULL: not set. */
typedef struct pip_section {
    char *index_url;
    char *extra_index_url;
    char *cert;
    char *no_index;
} pip_section;

/* Reads the text of a configuration file; what it sets replaces what was there. */
void pip_config_parse(const char *text, pip_section *global, pip_section *download);
void pip_section_clear(pip_section *section);

#endif
