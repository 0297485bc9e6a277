/* build.mjs: bundles src/ into one page and writes, beside itself or into --out FOLDER:
 *
 *   page.html      the page: script and style inside, nothing loaded from anywhere
 *   page.html.gz   the same, gzipped, always the same bytes for the same sources
 *   page.json      {"csp", "etag", "raw", "gzip"}: its Content-Security-Policy, ETag and sizes
 *   web_page.c     both for the compiler (server/web_page.h)
 *
 * The page also carries the licenses of the packages in it. --dev leaves names readable. Modules are looked for in node_modules beside this file. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const out = process.argv.includes("--out") ? argument("--out") : here;
const minify = !process.argv.includes("--dev");

const sha256 = (text) => createHash("sha256").update(text).digest("base64");

async function bundle(entry, loader) {
    const result = await build({
        absWorkingDir: here,
        bundle: true,
        charset: "utf8",
        entryPoints: [join(here, "src", entry)],
        format: "iife",
        jsx: "automatic",
        jsxImportSource: "preact",
        legalComments: "none",
        loader,
        logLevel: "warning",
        metafile: true,
        minify,
        nodePaths: [join(here, "node_modules")],
        target: ["chrome109", "firefox115", "safari16.4"],
        write: false,
    });
    return { text: result.outputFiles[0].text, inputs: result.metafile.inputs };
}

/* In a script "</script" ends it and "<!--" changes how it is read; in strings and regular expressions, the only
 * places where bundled code has them, the escaped form means the same. */
const forScript = (text) => text.replace(/<\/(script)/gi, "<\\/$1").replace(/<!--/g, "<\\!--").trim();

/* Every package that a file of the bundle came from, with its license. */
function licenses(inputs) {
    const found = Object.keys(inputs).map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]);
    return [...new Set(found.filter(Boolean))].sort().map((name) => {
        const folder = join(here, "node_modules", name);
        const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
        if (!file) throw new Error(`${name} has no license file`);
        return `${name} ${version}, ${license}\n\n${readFileSync(join(folder, file), "utf8").trim()}`;
    }).join(`\n\n${"-".repeat(60)}\n\n`);
}

function page(script, style, notices) {
    const template = readFileSync(join(here, "src", "index.html"), "utf8");
    const text = notices.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    return template.replace("/*style*/", () => style).replace("/*script*/", () => script)
        .replace("/*licenses*/", () => text);
}

function policy(script, style) {
    return [
        "default-src 'none'",
        `script-src 'sha256-${sha256(script)}'`,
        `style-src 'sha256-${sha256(style)}'`,
        "connect-src 'self'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    ].join("; ");
}

function cSource(bytes, csp, etag) {
    const lines = [];
    for (let i = 0; i < bytes.length; i += 32) {
        lines.push("    " + Array.from(bytes.subarray(i, i + 32)).join(",") + ",");
    }
    return `/* Made by web/build.mjs. */
#include "web_page.h"

const unsigned char pn_web_page[] = {
${lines.join("\n")}
};
const size_t pn_web_page_bytes = sizeof pn_web_page;
const char pn_web_page_etag[] = ${JSON.stringify(etag)};
const char pn_web_page_csp[] = ${JSON.stringify(csp)};
`;
}

const code = await bundle("main.tsx", {});
const script = forScript(code.text);
const style = (await bundle("style.css", { ".css": "css" })).text.trim();
const html = page(script, style, licenses(code.inputs));
const gzip = gzipSync(html, { level: 9 });
gzip[9] = 255; /* the system that packed it: unknown, wherever it was */
const csp = policy(script, style);
const etag = `"${createHash("sha256").update(gzip).update(csp).digest("hex").slice(0, 32)}"`;

mkdirSync(out, { recursive: true });
writeFileSync(join(out, "page.html"), html);
writeFileSync(join(out, "page.html.gz"), gzip);
writeFileSync(join(out, "page.json"),
              JSON.stringify({ csp, etag, raw: Buffer.byteLength(html), gzip: gzip.length }, null, 4) + "\n");
writeFileSync(join(out, "web_page.c"), cSource(gzip, csp, etag));
console.log(`puna: the chat page: ${(gzip.length / 1000).toFixed(1)} kB (unpacked ${(html.length / 1000).toFixed(0)} kB)`);
