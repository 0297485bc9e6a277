/* highlight.ts: colours code in the languages that answers are most often written in. */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import go from "highlight.js/lib/languages/go";
import ini from "highlight.js/lib/languages/ini";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import julia from "highlight.js/lib/languages/julia";
import latex from "highlight.js/lib/languages/latex";
import lua from "highlight.js/lib/languages/lua";
import makefile from "highlight.js/lib/languages/makefile";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { escapeHtml } from "./html";

const languages = {
    bash, c, cpp, csharp, css, diff, dockerfile, go, ini, java, javascript, json, julia, latex, lua, makefile, php,
    python, r, ruby, rust, sql, typescript, xml, yaml,
};
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

const MAX_CODE = 60_000; /* characters; more is left without colours */

/* What stands above a code block: the language's name where it is known, else what the model called it. */
export function languageName(name: string): string {
    return hljs.getLanguage(name)?.name?.split(/[,(]/)[0]?.trim() || name.slice(0, 30) || "Text";
}

export function highlight(code: string, name: string): string {
    if (!name || code.length > MAX_CODE || !hljs.getLanguage(name)) return escapeHtml(code);
    return hljs.highlight(code, { language: name, ignoreIllegals: true }).value;
}
