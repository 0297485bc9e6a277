/* math.ts: finds TeX in Markdown: $x$, $$x$$, \(x\), \[x\] and \begin{align}..\end{align}.
 *
 * A single dollar is often money or a variable of a shell, so inline $x$ follows Pandoc's rules: no space inside next to
 * either dollar, no digit after the closing one, no empty line and no backtick between. A formula has at most 4,000
 * characters, which also bounds the search for its end. */
import type { TokenizerAndRendererExtension } from "marked";

export interface Formula {
    raw: string;
    tex: string;
    display: boolean;
}

const MAX_TEX = 4000;
const MAX_DOLLARS = 8; /* closing ones that are tried */

/* Where the closing mark begins, from position on, unless a backslash hides it; -1 without one. */
function findEnd(text: string, from: number, mark: string): number {
    for (let end = text.indexOf(mark, from); end >= 0; end = text.indexOf(mark, end + 1)) {
        let backslashes = 0;
        while (text[end - 1 - backslashes] === "\\") backslashes++;
        if (backslashes % 2 === 0) return end;
    }
    return -1;
}

const goodTex = (tex: string) => tex.trim() !== "" && !/\n[ \t]*\n/.test(tex);

function between(text: string, open: string, close: string, display: boolean): Formula | null {
    const near = text.slice(0, MAX_TEX);
    const end = findEnd(near, open.length, close);
    const tex = end < 0 ? "" : near.slice(open.length, end);
    return goodTex(tex) ? { raw: near.slice(0, end + close.length), tex: tex.trim(), display } : null;
}

function betweenDollars(text: string): Formula | null {
    if (/^\$[\s$]/.test(text)) return null;
    const near = text.slice(0, MAX_TEX);
    let end = findEnd(near, 1, "$");
    for (let tries = 0; end > 0 && tries < MAX_DOLLARS; tries++, end = findEnd(near, end + 1, "$")) {
        const tex = near.slice(1, end);
        if (tex.includes("`") || !goodTex(tex)) return null;
        if (!/\s$/.test(tex) && !/^[\d$]/.test(near.slice(end + 1, end + 2))) {
            return { raw: near.slice(0, end + 1), tex, display: false };
        }
    }
    return null;
}

/* The formula at the very start of text, or null. */
export function inlineFormula(text: string): Formula | null {
    if (text.startsWith("$$")) return between(text, "$$", "$$", true);
    if (text.startsWith("$")) return betweenDollars(text);
    if (text.startsWith("\\(")) return between(text, "\\(", "\\)", false);
    if (text.startsWith("\\[")) return between(text, "\\[", "\\]", true);
    return null;
}

const ENVIRONMENT = /^\\begin\{((?:equation|align|alignat|gather|multline|eqnarray|cases|matrix|[pbvBV]matrix)\*?)\}/;

/* The same for a formula that has its lines to itself. */
export function blockFormula(text: string): Formula | null {
    const indent = /^ {0,3}/.exec(text)![0];
    const rest = text.slice(indent.length);
    let found: Formula | null = null;
    const environment = ENVIRONMENT.exec(rest);
    if (environment) {
        found = between(rest, environment[0], `\\end{${environment[1]}}`, true);
        if (found) found = { ...found, tex: found.raw };
    } else if (rest.startsWith("$$") || rest.startsWith("\\[")) {
        found = inlineFormula(rest);
    }
    if (!found) return null;
    const after = /^[ \t]*(?:\n+|$)/.exec(rest.slice(found.raw.length));
    return after ? { ...found, raw: indent + found.raw + after[0] } : null;
}

/* Where a formula may begin next, or -1: the text up to there is none of ours. A dollar after a word is money. */
export function nextFormula(text: string): number {
    return text.search(/(?<!\w)\$|\\[([]/);
}

export function mathExtensions(render: (formula: Formula) => string): TokenizerAndRendererExtension[] {
    const renderer = (token: any) => render(token as Formula);
    return [
        {
            name: "blockMath",
            level: "block",
            start: (text) => {
                const at = text.search(/^ {0,3}(?:\$\$|\\\[|\\begin\{)/m);
                return at < 0 ? undefined : at;
            },
            tokenizer: (text) => {
                const formula = blockFormula(text);
                return formula ? { type: "blockMath", ...formula } : undefined;
            },
            renderer,
        },
        {
            name: "math",
            level: "inline",
            start: (text) => {
                const at = nextFormula(text);
                return at < 0 ? undefined : at;
            },
            tokenizer: (text) => {
                const formula = inlineFormula(text);
                return formula ? { type: "math", ...formula } : undefined;
            },
            renderer,
        },
    ];
}
