/* pip_config.c: which package index pip would use. */
#define _POSIX_C_SOURCE 200809L /* access */
#include "pip_config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirs.h"

enum { MAX_CONFIG_BYTES = 256 * 1024 };

static const char public_index[] = "https://pypi.org/simple";

/* ---- one file -------------------------------------------------------------------------------- */

void pip_section_clear(pip_section *section) {
    free(section->index_url);
    free(section->extra_index_url);
    free(section->cert);
    free(section->no_index);
    *section = (pip_section){0};
}

/* Where the value of a key goes; pip takes _ for - and does not care for case. */
static char **find_setting(pip_section *section, const char *key, size_t n) {
    struct {
        const char *name;
        char **at;
    } settings[] = {{"index-url", &section->index_url},
                    {"extra-index-url", &section->extra_index_url},
                    {"cert", &section->cert},
                    {"no-index", &section->no_index}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const char *name = settings[i].name;
        size_t j = 0;
        while (j < n && name[j]) {
            char c = key[j] == '_' ? '-' : (char)tolower((unsigned char)key[j]);
            if (c != name[j]) break;
            j++;
        }
        if (j == n && !name[j]) return settings[i].at;
    }
    return NULL;
}

static const char *skip_space(const char *at, const char *end) {
    while (at < end && isspace((unsigned char)*at)) at++;
    return at;
}

static const char *trim_end(const char *at, const char *end) {
    while (end > at && isspace((unsigned char)end[-1])) end--;
    return end;
}

void pip_config_parse(const char *text, pip_section *global, pip_section *download) {
    pip_section *section = NULL;
    char **setting = NULL; /* the last one: an indented line goes on with its value */
    for (const char *line = text; *line;) {
        const char *end = line + strcspn(line, "\n");
        const char *next = end + (*end == '\n');
        const char *start = skip_space(line, end);
        end = trim_end(start, end);
        const char *mark = start;
        while (mark < end && *mark != '=' && *mark != ':') mark++;
        if (start == end || *start == '#' || *start == ';') {
            /* nothing */
        } else if (start > line && setting) {
            hub_set(setting, hub_format("%s\n%.*s", *setting, (int)(end - start), start));
        } else if (*start == '[' && end[-1] == ']') {
            size_t n = (size_t)(end - start) - 2;
            section = n == 6 && !strncmp(start + 1, "global", n)     ? global
                      : n == 8 && !strncmp(start + 1, "download", n) ? download
                                                                     : NULL;
            setting = NULL;
        } else {
            size_t n = (size_t)(trim_end(start, mark) - start);
            setting = section && mark < end ? find_setting(section, start, n) : NULL;
            const char *value = mark < end ? skip_space(mark + 1, end) : end;
            if (setting) hub_set(setting, hub_copy_n(value, (size_t)(end - value)));
        }
        line = next;
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

typedef struct pip_settings {
    pip_section global;
    pip_section download;
} pip_settings;

static void read_file(pip_settings *s, char *path) {
    char *text = dirs_read_link(path, MAX_CONFIG_BYTES);
    if (text) pip_config_parse(text, &s->global, &s->download);
    free(text);
    free(path);
}

static void read_files(pip_settings *s) {
    const char *named = environment("PIP_CONFIG_FILE");
    const char *dirs = environment("XDG_CONFIG_DIRS");
    const char *config = environment("XDG_CONFIG_HOME");
    const char *venv = environment("VIRTUAL_ENV");
    const char *home = environment("HOME");
    if (named && strcmp(named, "/dev/null") == 0) return; /* pip: no files at all */
    for (const char *at = dirs ? dirs : "/etc/xdg"; *at;) {
        size_t n = strcspn(at, ":");
        read_file(s, hub_format("%.*s/pip/pip.conf", (int)n, at));
        at += n + (at[n] == ':');
    }
    read_file(s, hub_copy("/etc/pip.conf"));
    if (!(named && access(named, F_OK) == 0)) {
        if (home) read_file(s, hub_format("%s/.pip/pip.conf", home));
        if (config) {
            read_file(s, hub_format("%s/pip/pip.conf", config));
        } else if (home) {
            read_file(s, hub_format("%s/.config/pip/pip.conf", home));
        }
    }
    if (venv) read_file(s, hub_format("%s/pip.conf", venv));
    if (named) read_file(s, expand_path(named));
}

/* Environment, then [download], then [global]; NULL when nobody sets it. */
static const char *pick(const char *variable, const char *download, const char *global) {
    const char *value = environment(variable);
    return value ? value : download && *download ? download : global && *global ? global : NULL;
}

static void add_indexes(string_list *list, const char *urls) {
    static const char space[] = " \t\r\n";
    for (const char *at = urls; *(at += strspn(at, space));) {
        size_t n = strcspn(at, space);
        size_t n_bare = n;
        while (n_bare > 0 && at[n_bare - 1] == '/') n_bare--;
        char *url = hub_copy_n(at, n_bare);
        if (string_list_has(list, url)) {
            free(url);
        } else {
            string_list_add(list, url);
        }
        at += n;
    }
}

void pip_config_read(pip_config *out) {
    pip_settings s = {0};
    read_files(&s);
    *out = (pip_config){0};
    const char *index = pick("PIP_INDEX_URL", s.download.index_url, s.global.index_url);
    const char *extra =
        pick("PIP_EXTRA_INDEX_URL", s.download.extra_index_url, s.global.extra_index_url);
    const char *cert = pick("PIP_CERT", s.download.cert, s.global.cert);
    const char *no_index = pick("PIP_NO_INDEX", s.download.no_index, s.global.no_index);
    add_indexes(&out->indexes, index ? index : public_index);
    if (extra) add_indexes(&out->indexes, extra);
    if (cert) out->certificates = expand_path(cert);
    out->no_index = no_index && (text_same(no_index, "1") || text_same(no_index, "true") ||
                                 text_same(no_index, "yes") || text_same(no_index, "on"));
    pip_section_clear(&s.global);
    pip_section_clear(&s.download);
}

void pip_config_clear(pip_config *config) {
    string_list_clear(&config->indexes);
    free(config->certificates);
    *config = (pip_config){0};
}
