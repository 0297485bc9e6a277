/* chat_formats.c: the named formats, and which of them a model without a template wants. */
#include "run/chat.h"

#include "base/error.h"
#include "base/log.h"

#include <ctype.h>
#include <string.h>

/* ---- what templates of chat_formats.def share ------------------------------------------------ */

#define REFUSE_ROLE                                                                                \
    "{{- raise_exception('messages of role \"' + m.role + '\" have no place in this chat "         \
    "format') -}}"

/* s.text: what all system messages say; s.first: the first of them; turns: the other messages. */
#define TURNS_PRELUDE                                                                              \
    "{%- set s = namespace(text='', first='') -%}"                                                 \
    "{%- for m in messages if m.role == 'system' -%}"                                              \
    "{%- if loop.first -%}{%- set s.first = m.content -%}{%- endif -%}"                            \
    "{%- set s.text = s.text + ('' if loop.first else '\\n\\n') + m.content -%}"                   \
    "{%- endfor -%}"                                                                               \
    "{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list -%}"                \
    "{%- for m in turns if m.role not in ['user', 'assistant'] -%}" REFUSE_ROLE "{%- endfor -%}"

/* A conversation in which each role has a text before and after (after: a Jinja expression) what it
 * says. A system message that is missing is the default one; where that is "" there is none. */
#define TURNS(sys, sys_default, sys_end, user, user_end, bot, bot_end, prompt)                     \
    TURNS_PRELUDE                                                                                  \
    "{%- set s.text = s.text or '" sys_default "' -%}"                                             \
    "{%- if s.text -%}{{- '" sys "' + s.text + " sys_end " -}}{%- endif -%}"                       \
    "{%- for m in turns -%}"                                                                       \
    "{{- '" user "' + m.content + " user_end " if m.role == 'user' else '" bot                     \
    "' + m.content + " bot_end " -}}"                                                              \
    "{%- endfor -%}"                                                                               \
    "{%- if add_generation_prompt -%}{{- '" prompt "' -}}{%- endif -%}"

#define FUNCTIONARY_SYSTEM                                                                         \
    "'A chat between a curious user and an artificial intelligence assistant. The assistant "      \
    "gives "                                                                                       \
    "helpful, detailed, and polite answers to the user\\'s questions. The assistant calls "        \
    "functions "                                                                                   \
    "with appropriate input when necessary'"

/* schema(tools, indent): the tools as type definitions of TypeScript. */
#define FUNCTION_SCHEMA                                                                            \
    "{%- macro type(p, level) -%}"                                                                 \
    "{%- if '$ref' in p -%}{{- p['$ref'].split('/')[-1] -}}"                                       \
    "{%- elif p.type == 'array' -%}{{- 'Array<' + type(p.get('items', {}), level + 1) + '>' -}}"   \
    "{%- elif p.type == 'object' -%}{{- '{\\n' -}}"                                                \
    "{%- for k, v in p.get('properties', {}).items() -%}"                                          \
    "{{- '  ' * (level + 1) + k + ': ' + type(v, level + 1) + ',\\n' -}}{%- endfor -%}"            \
    "{{- '  ' * level + '}' -}}"                                                                   \
    "{%- elif 'enum' in p -%}{%- for e in p.enum -%}{{- '\"' ~ e ~ '\"' -}}"                       \
    "{{- '' if loop.last else ' | ' -}}{%- endfor -%}"                                             \
    "{%- else -%}{{- p.get('type', 'any') -}}{%- endif -%}"                                        \
    "{%- endmacro -%}"                                                                             \
    "{%- macro schema(tools, indent) -%}"                                                          \
    "{{- '// Supported function definitions that should be called when necessary.\\n' -}}"         \
    "{{- 'namespace functions {\\n\\n' -}}"                                                        \
    "{%- for t in tools -%}{%- for k, v in (t.function.parameters or {}).get('$defs', "            \
    "{}).items() -%}"                                                                              \
    "{{- '  type ' + k + ' = ' + (type(v, 1) if v.type == 'object' or 'enum' in v else '') + "     \
    "';\\n' -}}"                                                                                   \
    "{%- endfor -%}{%- endfor -%}"                                                                 \
    "{%- for t in tools -%}{%- set f = t.function -%}{%- set p = f.parameters or {} -%}"           \
    "{{- indent + '// ' + f.get('description', '') + '\\n' + indent + 'type ' + f.name + ' = (_: " \
    "{\\n' -}}"                                                                                    \
    "{%- for k, v in p.get('properties', {}).items() -%}"                                          \
    "{{- indent * 2 + '// ' + v.get('description', '') + '\\n' + indent * 2 + k -}}"               \
    "{{- ('' if k in p.get('required', []) else '?') + ': ' + type(v, 2) + ',\\n' -}}"             \
    "{%- endfor -%}"                                                                               \
    "{{- indent + '}) => any;\\n\\n' -}}"                                                          \
    "{%- endfor -%}"                                                                               \
    "{{- '} // namespace functions' -}}"                                                           \
    "{%- endmacro -%}"

#define STOPS(...)                                                                                 \
    { __VA_ARGS__ }
#define KNOWN(...)                                                                                 \
    { __VA_ARGS__ }
#define FORMAT(name, bos, eos, stops, known, ...) {name, bos, eos, stops, known, __VA_ARGS__},
static const pn_chat_format rows[] = {
#include "run/chat_formats.def"
};

enum { N_ROWS = sizeof rows / sizeof *rows };

/* ---- by name --------------------------------------------------------------------------------- */

const char *puna_chat_format(int32_t index) {
    return index >= 0 && index < N_ROWS ? rows[index].name : NULL;
}

const pn_chat_format *pn_chat_format_find(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

puna_status pn_chat_fail_with_names(puna_status code, const char *text, puna_error *err) {
    pn_buf names = {0};
    for (int i = 0; i < N_ROWS; i++)
        if (!pn_buf_printf(&names, "%s%s", i ? ", " : "", rows[i].name)) break;
    code = pn_fail(err, code, "%s: %s", text, names.data ? names.data : "");
    pn_buf_free(&names);
    return code;
}

/* ---- by what is known of a model ------------------------------------------------------------- */

#define MAX_NAME_BYTES 512

/* "_llama_v2_model_gguf_": lower case, every run of other characters an underscore. */
static void add_name(char out[MAX_NAME_BYTES], const char *text) {
    size_t n = strlen(out);
    for (; *text && n + 2 < MAX_NAME_BYTES; text++) {
        const unsigned char c = (unsigned char)*text;
        if (isalnum(c) && c < 0x80)
            out[n++] = (char)tolower(c);
        else if (out[n - 1] != '_')
            out[n++] = '_';
    }
    if (out[n - 1] != '_') out[n++] = '_';
    out[n] = 0;
}

bool pn_chat_has_token(const puna_model *model, const char *text, size_t n) {
    const pn_vocab_range all = {0, n};
    int32_t ids[2], n_ids = 0;
    return pn_vocab_tokenize_ranges(model->vocab, text, n, &all, 1, 0, ids, NULL, 2, &n_ids,
                                    NULL) == PUNA_OK &&
           n_ids == 1;
}

static bool has_word(const char *name, const char *word, size_t n) {
    for (; *name; name++)
        if (strncmp(name, word, n) == 0) return true;
    return false;
}

static bool matches(const char *pattern, const char *name, const puna_model *model) {
    while (*pattern) {
        const size_t n = strcspn(pattern, " ");
        const bool without = *pattern == '!';
        const bool found = *pattern == '<' ? pn_chat_has_token(model, pattern, n)
                                           : has_word(name, pattern + without, n - without);
        if (found == without) return false;
        pattern += n + (pattern[n] == ' ');
    }
    return true;
}

const pn_chat_format *pn_chat_format_guess(const puna_model *model) {
    static const char *const keys[] = {"general.name", "general.basename", "general.finetune"};
    char name[MAX_NAME_BYTES] = "_";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const pn_gguf_kv *kv = pn_gguf_find(model->gguf, keys[i]);
        if (kv && kv->type == PN_GGUF_STRING) add_name(name, kv->value.str.data);
    }
    const char *path = pn_gguf_name(model->gguf), *slash = strrchr(path, '/');
    add_name(name, slash ? slash + 1 : path);
    for (int i = N_ROWS - 1; i >= 0; i--)
        for (int k = 0; k < PN_CHAT_MAX_KNOWN && rows[i].known[k]; k++)
            if (matches(rows[i].known[k], name, model)) {
                pn_log(PUNA_LOG_INFO,
                       "no chat template: the format %s is taken from what the file says",
                       rows[i].name);
                return &rows[i];
            }
    return NULL;
}
