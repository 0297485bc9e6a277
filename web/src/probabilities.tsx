/* probabilities.tsx: an answer token by token: the colour is how likely the model held each one, and hover or focus shows
 * what else it might have said. One tab stop; the arrow keys go from token to token. */
import { useRef, useState } from "preact/hooks";
import type { TokenProbability } from "./types";

const percent = (logprob: number): string => {
    const share = 100 * Math.exp(logprob);
    return share >= 99.95 ? "100 %" : share >= 10 ? `${share.toFixed(1)} %` : share >= 0.01 ? `${share.toFixed(2)} %` : "< 0.01 %";
};

const visible = (text: string): string =>
    text === "" ? "∅" : text.replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "⇥");

/* 0 (certain) to 5 (a surprise) */
const surprise = (logprob: number): number => {
    const p = Math.exp(logprob);
    return p > 0.9 ? 0 : p > 0.7 ? 1 : p > 0.4 ? 2 : p > 0.2 ? 3 : p > 0.05 ? 4 : 5;
};

function Alternatives({ token }: { token: TokenProbability }) {
    const [text, logprob, others] = token;
    const rows = others.some(([other]) => other === text) ? others : [[text, logprob] as [string, number], ...others];
    return (
        <table>
            <thead class="unseen"><tr><th>Token</th><th>Probability</th><th>Share</th></tr></thead>
            <tbody>
                {rows.map(([other, value]) => (
                    <tr class={other === text ? "chosen" : ""}>
                        <td><code>{visible(other)}</code></td>
                        <td class="percent">{percent(value)}</td>
                        <td class="share" aria-hidden="true">
                            <span class="bar" style={{ width: `${Math.max(1, 100 * Math.exp(value))}%` }} />
                        </td>
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

export function Probabilities({ tokens }: { tokens: TokenProbability[] }) {
    const [at, setAt] = useState(0);
    const box = useRef<HTMLDivElement>(null);
    const go = (to: number) => {
        const next = Math.max(0, Math.min(tokens.length - 1, to));
        setAt(next);
        (box.current!.children[next] as HTMLElement).focus();
    };
    const onKey = (event: KeyboardEvent) => {
        const to: Record<string, number> =
            { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + 10, ArrowUp: at - 10, Home: 0, End: tokens.length - 1 };
        if (!(event.key in to)) return;
        event.preventDefault();
        go(to[event.key]!);
    };
    const shown = tokens[Math.min(at, tokens.length - 1)]!;
    const surprising = tokens.reduce((sum, token) => sum - token[1], 0) / tokens.length;
    return (
        <div class="probabilities">
            <div ref={box} class="tokens" role="group" aria-label="Tokens; arrow keys go from one to the next"
                 onKeyDown={onKey}>
                {tokens.map((token, i) => (
                    <span role="button" key={i} tabIndex={i === at ? 0 : -1} onFocus={() => setAt(i)}
                          onMouseEnter={() => setAt(i)} onClick={() => go(i)}
                          class={`token p${surprise(token[1])} ${i === at ? "at" : ""}`}
                          aria-label={`${visible(token[0])}, ${percent(token[1])}`}>
                        {token[0].replace(/\n/g, "↵\n")}
                    </span>
                ))}
            </div>
            <div class="alternatives" role="group" aria-label="Alternatives">
                <Alternatives token={shown} />
                <div class="legend" role="group" aria-label="Colours from likely to unlikely">
                    {[0, 1, 2, 3, 4, 5].map((level) => <span class={`token p${level}`}>
                        {["> 90 %", "> 70 %", "> 40 %", "> 20 %", "> 5 %", "less"][level]}</span>)}
                </div>
                <p class="legend">{tokens.length} tokens, perplexity {Math.exp(surprising).toFixed(2)}</p>
            </div>
        </div>
    );
}
