/* markdown.ts: from what a model writes to HTML that is safe to show.
 *
 * Text is cut into top-level blocks (a paragraph, a list, a table, a code block), each becomes HTML of its own, so that
 * while an answer arrives only its last block is made again. Two fences stand between a model and the page: HTML in the
 * Markdown is shown as text, except for a few tags without attributes; and all HTML passes through DOMPurify, which
 * knows only what the renderers below write. The page's Content-Security-Policy is the third. */
import createDOMPurify from "dompurify";
import katex from "katex";
import { Marked, type Token, type Tokens, type TokensList } from "marked";
import { highlight, languageName } from "./highlight";
import { escapeHtml } from "./html";
import { type Formula, mathExtensions } from "./math";

export interface Block {
    raw: string;
    html: TrustedHTML | string;
}

/* DOM types do not have it in every compiler's library. */
declare global {
    interface TrustedHTML {
        toString(): string;
    }
}

const MAX_BLOCK = 200_000; /* characters; a longer one is shown as it is */

const HARMLESS = /^<\/?(?:b|br|del|details|em|hr|i|ins|kbd|mark|s|small|strong|sub|summary|sup|u)\s*\/?>$/i;

const showHtml = (html: string): string =>
    html.replace(/<!--[\s\S]*?-->/g, "").replace(/<[^>]*>|[^<]+|</g,
                                                (piece) => (HARMLESS.test(piece) ? piece : escapeHtml(piece)));

function formula({ tex, display }: Formula): string {
    try {
        const html = katex.renderToString(tex, {
            output: "mathml", displayMode: display, throwOnError: true, strict: "ignore", trust: false,
            maxExpand: 500, maxSize: 20,
        });
        /* the source inside would be shown by browsers that do not know <annotation>, and DOMPurify knows it not */
        const math = html.replace(/<semantics>([\s\S]*)<annotation[\s\S]*<\/semantics>/, "$1");
        return display ? `<div class="math" tabindex="0" role="group" aria-label="formula">${math}</div>` : math;
    } catch {
        const code = `<code class="bad-math" title="not understood as TeX">${escapeHtml(tex)}</code>`;
        return display ? `<p>${code}</p>` : code;
    }
}

function codeBlock(text: string, info: string): string {
    const language = info.trim().split(/[\s{,]/)[0] ?? "";
    return `<div class="code"><div class="code-head"><span>${escapeHtml(languageName(language))}</span>` +
        `<button type="button" class="copy-code">Copy</button></div>` +
        `<pre tabindex="0" role="group" aria-label="code"><code>${highlight(text, language)}</code></pre></div>`;
}

function safeUrl(href: string): string | null {
    try {
        const url = new URL(href, "https://relative.invalid/");
        if (url.hostname === "relative.invalid") return null;
        return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
    } catch {
        return null;
    }
}

const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;

const marked = new Marked({
    gfm: true,
    breaks: true,
    extensions: mathExtensions(formula) as any,
    renderer: {
        html: ({ text }) => showHtml(text),
        code: ({ text, lang }) => codeBlock(text, lang ?? ""),
        link({ href, title, tokens }) {
            const url = safeUrl(href);
            const text = this.parser.parseInline(tokens);
            if (!url) return text;
            return `<a href="${escapeHtml(url)}"${title ? ` title="${escapeHtml(title)}"` : ""}>${text}</a>`;
        },
        image({ href, text }) {
            if (PICTURE.test(href)) return `<img src="${href}" alt="${escapeHtml(text)}">`;
            const url = safeUrl(href);
            const name = escapeHtml(text || href.slice(0, 80));
            return url ? `<a href="${escapeHtml(url)}" title="pictures from elsewhere are not loaded">[picture: ${name}]</a>`
                       : `[picture: ${name}]`;
        },
        checkbox: ({ checked }) =>
            `<span class="task" role="img" aria-label="${checked ? "done" : "to do"}">${checked ? "☑" : "☐"}</span> `,
        table(token) {
            const cell = (tag: string, one: Tokens.TableCell) =>
                `<${tag}${one.align ? ` class="${one.align}"` : ""}>${this.parser.parseInline(one.tokens)}</${tag}>`;
            const row = (tag: string, cells: Tokens.TableCell[]) =>
                `<tr>${cells.map((one) => cell(tag, one)).join("")}</tr>`;
            return `<div class="table" tabindex="0" role="group" aria-label="table"><table><thead>` +
                `${row("th", token.header)}</thead><tbody>${token.rows.map((cells) => row("td", cells)).join("")}` +
                `</tbody></table></div>`;
        },
    },
});

const purify = createDOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
    if (node.nodeName === "IMG" && !PICTURE.test(node.getAttribute("src") ?? "")) node.removeAttribute("src");
    if (node.nodeName !== "A") return;
    const href = node.getAttribute("href");
    if (href && !safeUrl(href)) node.removeAttribute("href");
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
});

const TAGS = ("a b blockquote br button code del details div em h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre s " +
    "small span strong sub summary sup table tbody td th thead tr u ul " +
    "math menclose mfrac mi mn mo mover mpadded mphantom mroot mrow ms mspace msqrt " +
    "mstyle msub msubsup msup mtable mtd mtext mtr munder munderover").split(" ");
const ATTRIBUTES = ("alt class href role src start tabindex title type aria-label " +
    "accent accentunder columnalign columnlines columnspacing depth display displaystyle fence height largeop " +
    "linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize movablelimits notation " +
    "rowalign rowlines rowspacing rspace scriptlevel separator stretchy symmetric voffset width xmlns").split(" ");

export function sanitize(html: string): TrustedHTML | string {
    return purify.sanitize(html, {
        ALLOWED_TAGS: TAGS,
        ALLOWED_ATTR: ATTRIBUTES,
        ADD_URI_SAFE_ATTR: ATTRIBUTES.filter((name) => name !== "href" && name !== "src"),
        ALLOW_ARIA_ATTR: false,
        ALLOW_DATA_ATTR: false,
        ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp);base64,)/i,
        RETURN_TRUSTED_TYPE: true,
    }) as unknown as TrustedHTML | string;
}

function blockHtml(token: Token, raw: string): TrustedHTML | string {
    if (raw.length > MAX_BLOCK) return sanitize(`<pre tabindex="0">${escapeHtml(raw)}</pre>`);
    try {
        return sanitize(marked.parser([token] as TokensList));
    } catch {
        return sanitize(`<pre tabindex="0">${escapeHtml(raw)}</pre>`);
    }
}

function lex(text: string): TokensList {
    try {
        return marked.lexer(text);
    } catch {
        return Object.assign([{ type: "code", raw: text, text } as Tokens.Code], { links: {} });
    }
}

/* The blocks of a text that grows. What did not change keeps its Block, by identity. */
export class BlockList {
    private text = "";
    private blocks: Block[] = [];
    private links = "{}"; /* definitions of links, as JSON */

    /* final: nothing more will come, so that links defined at the end reach the blocks before. */
    update(source: string, final: boolean): Block[] {
        const text = source.replace(/\r\n?/g, "\n");
        if (text === this.text && !final) return this.blocks;
        const last = this.blocks[this.blocks.length - 1];
        const grows = !final && last && text.startsWith(this.text);
        const keep = grows ? this.blocks.slice(0, -1) : [];
        const from = keep.reduce((sum, block) => sum + block.raw.length, 0);
        const tokens = lex(text.slice(from));
        /* blank lines belong to the block before them */
        const pieces: { token: Token; raw: string }[] = [];
        for (const token of tokens) {
            const before = pieces[pieces.length - 1];
            if (token.type === "space" && before) before.raw += token.raw;
            else pieces.push({ token, raw: token.raw });
        }
        const links = final ? JSON.stringify(tokens.links) : this.links;
        const known = new Map((links === this.links ? this.blocks : []).map((block) => [block.raw, block]));
        this.blocks = keep.concat(pieces.map(({ token, raw }) =>
            known.get(raw) ?? { raw, html: blockHtml(token, raw) }));
        this.links = links;
        /* the lexer may have normalized what it read: then the next time all is read again */
        const whole = this.blocks.reduce((sum, block) => sum + block.raw.length, 0);
        this.text = whole === text.length ? text : "\0";
        return this.blocks;
    }
}

/* What a screen reader is read: the words without the marks. */
export function plainText(markdown: string): string {
    return markdown.replace(/^[ \t]*(?:```|~~~).*$/gm, "").replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
        .replace(/^[ \t]*(?:#{1,6}|>|[-*+]|\d+\.)[ \t]+/gm, "").replace(/[*_`|~]+/g, "").trim();
}
