/* pypi_index.c: finding a wheel on a Python package index. */
#define _POSIX_C_SOURCE 200809L /* strncasecmp */
#include "pypi_index.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dirs.h"
#include "fetch.h"
#include "names.h"

enum { MAX_PAGE_BYTES = 8 * 1024 * 1024, MAX_WHEELS = 50000, MAX_NUMBERS = 8 };

static const char accepted[] = "application/vnd.pypi.simple.v1+json, "
                               "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/* ---- versions (PEP 440) ---------------------------------------------------------------------- */

typedef struct pep440 {
    bool valid;
    long epoch;
    long numbers[MAX_NUMBERS];
    int phase; /* 0 dev, 1 a, 2 b, 3 rc, 4 final, 5 post */
    long phase_number;
    long dev; /* no_dev when there is none: a final release comes after its dev ones */
} pep440;

static const long no_dev = 1000000000;

static long number_at(const char **at) {
    long value = 0;
    for (; isdigit((unsigned char)**at); ++*at) {
        if (value < no_dev / 10 - 1) value = value * 10 + (**at - '0');
    }
    return value;
}

static bool take_word(const char **at, const char *word) {
    const char *s = *at + strspn(*at, ".-_");
    size_t n = strlen(word);
    if (strncasecmp(s, word, n) != 0 || isalpha((unsigned char)s[n])) return false;
    *at = s + n;
    *at += strspn(*at, ".-_");
    return true;
}

static pep440 parse_version(const char *text) {
    static const struct {
        const char *word;
        int phase;
    } phases[] = {{"alpha", 1}, {"beta", 2}, {"preview", 3}, {"pre", 3}, {"rc", 3}, {"a", 1},
                  {"b", 2},     {"c", 3},    {"post", 5},    {"rev", 5}, {"r", 5}};
    pep440 v = {.phase = 4, .dev = no_dev};
    if (*text == 'v' || *text == 'V') text++;
    if (!isdigit((unsigned char)*text)) return v;
    long number = number_at(&text);
    if (*text == '!') {
        v.epoch = number;
        text++;
        number = number_at(&text);
    }
    v.numbers[0] = number;
    for (int i = 1; text[0] == '.' && isdigit((unsigned char)text[1]); i++) {
        text++;
        number = number_at(&text);
        if (i < MAX_NUMBERS) v.numbers[i] = number;
    }
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        if (!take_word(&text, phases[i].word)) continue;
        v.phase = phases[i].phase;
        v.phase_number = number_at(&text);
        break;
    }
    if (take_word(&text, "dev")) {
        v.dev = number_at(&text);
        if (v.phase == 4) v.phase = 0;
    }
    v.valid = *text == 0 || *text == '+';
    return v;
}

static int compare(long a, long b) {
    return a < b ? -1 : a > b;
}

int pypi_compare_versions(const char *a, const char *b) {
    pep440 x = parse_version(a);
    pep440 y = parse_version(b);
    int order = compare(x.valid, y.valid);
    if (order == 0) order = compare(x.epoch, y.epoch);
    for (int i = 0; order == 0 && i < MAX_NUMBERS; i++) order = compare(x.numbers[i], y.numbers[i]);
    if (order == 0) order = compare(x.phase, y.phase);
    if (order == 0) order = compare(x.phase_number, y.phase_number);
    if (order == 0) order = compare(x.dev, y.dev);
    return order ? order : strcmp(a, b);
}

bool pypi_is_prerelease(const char *text) {
    pep440 v = parse_version(text);
    return !v.valid || v.phase < 4 || v.dev != no_dev;
}

static bool same_version(const char *a, const char *b) {
    pep440 x = parse_version(a);
    pep440 y = parse_version(b);
    if (!x.valid || !y.valid) return strcmp(a, b) == 0;
    return x.epoch == y.epoch && !memcmp(x.numbers, y.numbers, sizeof x.numbers) &&
           x.phase == y.phase && x.phase_number == y.phase_number && x.dev == y.dev;
}

/* ---- wheels ---------------------------------------------------------------------------------- */

void wheel_file_clear(wheel_file *file) {
    free(file->name);
    free(file->version);
    free(file->url);
    *file = (wheel_file){0};
}

void wheel_files_clear(wheel_files *files) {
    for (size_t i = 0; i < files->n; i++) wheel_file_clear(&files->items[i]);
    free(files->items);
    *files = (wheel_files){0};
}

/* "name-1.0-py3-none-any.whl" of the package: its version, to be freed; else NULL. */
static char *wheel_version(const char *name, const char *package) {
    size_t n_name = strcspn(name, "-");
    if (!text_ends(name, ".whl") || name[n_name] != '-' || strlen(name) > 230) return NULL;
    char *distribution = hub_copy_n(name, n_name);
    char *normal = names_normal_package(distribution);
    bool ours = strcmp(normal, package) == 0;
    free(distribution);
    free(normal);
    const char *v = name + n_name + 1;
    size_t n = strcspn(v, "-");
    return ours && v[n] == '-' && n > 0 ? hub_copy_n(v, n) : NULL;
}

/* Takes nothing over. hash may be NULL. */
static void add_wheel(wheel_files *out, const char *name, const char *href, const char *base,
                      const char *package, const char *hash, uint64_t size, bool yanked) {
    char *found = out->n < MAX_WHEELS ? wheel_version(name, package) : NULL;
    char *url = found ? transfer_join(base, href) : NULL;
    /* a page from the network may not name files of this machine */
    if (!url || (text_starts(url, "file:") && !text_starts(base, "file:"))) {
        free(found);
        free(url);
        return;
    }
    url[strcspn(url, "#")] = 0;
    if ((out->n & (out->n - 1)) == 0) /* full at every power of two */
        out->items = hub_memory(out->items, out->n ? out->n * 2 : 1, sizeof *out->items);
    wheel_file *file = &out->items[out->n++];
    *file = (wheel_file){
        .name = hub_copy(name), .version = found, .url = url, .size = size, .yanked = yanked};
    if (hash && strlen(hash) >= 64) {
        memcpy(file->sha256, hash, 64);
        for (int i = 0; i < 64; i++) file->sha256[i] = (char)tolower((unsigned char)hash[i]);
        if (!text_made_of(file->sha256, HEX_DIGITS, 64)) file->sha256[0] = 0;
    }
}

hub_status pypi_parse_json(const char *text, size_t n, const char *base, const char *package,
                           wheel_files *out, hub_error *err) {
    json_error_t where;
    json_t *page = json_loadb(text, n, 0, &where);
    json_t *files = json_object_get(page, "files");
    *out = (wheel_files){0};
    if (!json_is_array(files)) {
        char *shown = transfer_shown(base);
        hub_fail(err, HUB_FAILED, "%s: the answer is no page of a package index%s%s", shown,
                 page ? "" : ": ", page ? "" : where.text);
        free(shown);
        json_decref(page);
        return HUB_FAILED;
    }
    for (size_t i = 0; i < json_array_size(files); i++) {
        json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "filename"));
        const char *url = json_string_value(json_object_get(file, "url"));
        json_t *hashes = json_object_get(file, "hashes");
        json_t *yanked = json_object_get(file, "yanked");
        json_t *size = json_object_get(file, "size");
        bool sized = json_is_integer(size) && json_integer_value(size) > 0;
        if (!name || !url) continue;
        add_wheel(out, name, url, base, package,
                  json_string_value(json_object_get(hashes, "sha256")),
                  sized ? (uint64_t)json_integer_value(size) : FETCH_SIZE_UNKNOWN,
                  json_is_true(yanked) || json_is_string(yanked));
    }
    json_decref(page);
    return HUB_OK;
}

/* ---- HTML ------------------------------------------------------------------------------------ */

/* Undoes &amp; &lt; &gt; &quot; &#39; and &#x27; in place. */
static void unescape_html(char *text) {
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"&amp;", '&'},  {"&lt;", '<'},   {"&gt;", '>'},
                    {"&quot;", '"'}, {"&#39;", '\''}, {"&#x27;", '\''}};
    char *to = text;
    for (char *at = text; *at;) {
        size_t n = 1;
        char c = *at;
        for (size_t i = 0; c == '&' && i < sizeof entities / sizeof *entities; i++) {
            if (!text_starts(at, entities[i].name)) continue;
            n = strlen(entities[i].name);
            c = entities[i].c;
            break;
        }
        *to++ = c;
        at += n;
    }
    *to = 0;
}

/* The value of an attribute of the tag [at, end), unescaped and to be freed; "" for one without a
 * value, NULL when the tag has none of that name. */
static char *attribute(const char *at, const char *end, const char *name) {
    size_t n_name = strlen(name);
    while (at < end) {
        while (at < end && (isspace((unsigned char)*at) || *at == '/')) at++;
        const char *word = at;
        while (at < end && !isspace((unsigned char)*at) && *at != '=') at++;
        bool ours = (size_t)(at - word) == n_name && strncasecmp(word, name, n_name) == 0;
        while (at < end && isspace((unsigned char)*at)) at++;
        const char *value = at;
        const char *value_end = at;
        if (at < end && *at == '=') {
            at++;
            while (at < end && isspace((unsigned char)*at)) at++;
            char quote = at < end && (*at == '"' || *at == '\'') ? *at++ : 0;
            value = at;
            while (at < end && (quote ? *at != quote : !isspace((unsigned char)*at))) at++;
            value_end = at;
            if (quote && at < end) at++;
        } else if (at == word) {
            at++; /* nothing that could be read */
        }
        if (!ours) continue;
        char *text = hub_copy_n(value, (size_t)(value_end - value));
        unescape_html(text);
        return text;
    }
    return NULL;
}

/* The end of a tag: a > that stands in no quotes. */
static const char *tag_end(const char *at) {
    char quote = 0;
    for (; *at && (quote || *at != '>'); at++) {
        if (quote) {
            if (*at == quote) quote = 0;
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        }
    }
    return at;
}

static void add_link(wheel_files *out, char *href, const char *base, const char *package,
                     bool yanked) {
    char *fragment = strchr(href, '#');
    const char *hash = fragment ? strstr(fragment, "sha256=") : NULL;
    char *path = hub_copy_n(href, strcspn(href, "?#"));
    const char *slash = strrchr(path, '/');
    char *name = hub_copy(slash ? slash + 1 : path);
    char *plus = strstr(name, "%2B"); /* of a local version */
    if (plus) {
        plus[0] = '+';
        memmove(plus + 1, plus + 3, strlen(plus + 3) + 1);
    }
    add_wheel(out, name, href, base, package, hash ? hash + 7 : NULL, FETCH_SIZE_UNKNOWN, yanked);
    free(name);
    free(path);
}

void pypi_parse_html(const char *text, const char *base, const char *package, wheel_files *out) {
    *out = (wheel_files){0};
    for (const char *at = text; (at = strchr(at, '<'));) {
        at++;
        if ((at[0] != 'a' && at[0] != 'A') || !isspace((unsigned char)at[1])) continue;
        const char *end = tag_end(at);
        char *href = attribute(at + 1, end, "href");
        char *yanked = attribute(at + 1, end, "data-yanked");
        if (href) add_link(out, href, base, package, yanked != NULL);
        free(href);
        free(yanked);
        at = end;
    }
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_better(const wheel_file *a, const wheel_file *b) {
    int order = compare(!a->yanked, !b->yanked);
    if (order == 0)
        order = compare(!pypi_is_prerelease(a->version), !pypi_is_prerelease(b->version));
    if (order == 0) order = pypi_compare_versions(a->version, b->version);
    if (order == 0)
        order = compare(strstr(a->name, "-none-any.whl") != NULL,
                        strstr(b->name, "-none-any.whl") != NULL);
    return order > 0;
}

const wheel_file *pypi_choose(const wheel_files *files, const char *version) {
    const wheel_file *best = NULL;
    for (size_t i = 0; i < files->n; i++) {
        const wheel_file *file = &files->items[i];
        if (version && !same_version(file->version, version)) continue;
        if (!best || is_better(file, best)) best = file;
    }
    return best;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_json(const answer *a) {
    char *type = transfer_header(a, "content-type");
    bool json = type && strstr(type, "json");
    free(type);
    return json;
}

/* A page of a mirror on disk. HUB_NOT_HERE: the package is not there. */
static hub_status read_local_page(const char *url, const char *package, wheel_files *out) {
    char *index = hub_format("%sindex.html", url);
    char *path = transfer_file_path(index);
    char *text = path ? dirs_read_link(path, MAX_PAGE_BYTES) : NULL;
    if (text) pypi_parse_html(text, url, package, out);
    hub_status status = text ? HUB_OK : HUB_NOT_HERE;
    free(text);
    free(path);
    free(index);
    return status;
}

static hub_status read_page(transfer *t, const hub_host *host, const pip_config *config,
                            const char *url, const char *package, wheel_files *out,
                            hub_error *err) {
    answer a = {0};
    http_request r = {.url = url,
                      .accept = accepted,
                      .max_body = MAX_PAGE_BYTES,
                      .stall_s = environment_seconds("PIP_DEFAULT_TIMEOUT", 15),
                      .total_s = 300,
                      .certificates = config->certificates};
    *out = (wheel_files){0};
    if (text_starts(url, "file:")) return read_local_page(url, package, out);
    hub_status status = fetch_answer(t, host, &r, &a, err);
    if (status != HUB_OK) return status;
    char *shown = transfer_shown(url);
    if (a.code == 404) {
        status = HUB_NOT_HERE;
    } else if (a.code != 200) {
        status = hub_fail(err, HUB_FAILED, "%s answers with status %d", shown, a.code);
    } else if (is_json(&a)) {
        status = pypi_parse_json(a.body ? a.body : "", a.n_body, a.url, package, out, err);
    } else {
        pypi_parse_html(a.body ? a.body : "", a.url, package, out);
    }
    free(shown);
    transfer_answer_clear(&a);
    return status;
}

static hub_status refuse(const pip_config *config, const char *package, const char *version,
                         bool seen, hub_error *err) {
    char *shown = transfer_shown(config->indexes.items[0]);
    char *more =
        config->indexes.n > 1 ? hub_format(" and %zu more", config->indexes.n - 1) : hub_copy("");
    hub_fail(err, HUB_FAILED,
             seen ? "package %s%s%s has no wheel at %s%s" : "there is no package %s%s%s at %s%s",
             package, version ? "==" : "", version ? version : "", shown, more);
    free(shown);
    free(more);
    return HUB_FAILED;
}

hub_status pypi_find_wheel(transfer *t, const hub_host *host, const pip_config *config,
                           const char *package, const char *version, wheel_file *out,
                           hub_error *err) {
    bool seen = false;
    *out = (wheel_file){0};
    if (config->no_index)
        return hub_fail(err, HUB_FAILED,
                        "pip is configured with no-index: package %s cannot be "
                        "looked up",
                        package);
    for (size_t i = 0; i < config->indexes.n; i++) {
        char *url = hub_format("%s/%s/", config->indexes.items[i], package);
        wheel_files files;
        hub_status status = read_page(t, host, config, url, package, &files, err);
        free(url);
        const wheel_file *best = status == HUB_OK ? pypi_choose(&files, version) : NULL;
        seen = seen || status == HUB_OK;
        if (best) {
            *out = *best;
            out->name = hub_copy(best->name);
            out->version = hub_copy(best->version);
            out->url = hub_copy(best->url);
        }
        wheel_files_clear(&files);
        if (best) return HUB_OK;
        if (status != HUB_OK && status != HUB_NOT_HERE) return status;
    }
    return refuse(config, package, version, seen, err);
}
