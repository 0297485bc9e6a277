/* conversation.tsx: the conversation that is shown: heading, messages, composer. It follows the end of the answer as
 * long as the reader is there. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import * as actions from "./actions";
import { send } from "./chat";
import { Composer } from "./composer";
import { Icon } from "./icons";
import { MessageView } from "./message";
import { copyText, IconButton } from "./parts";
import { set, speak, useStore } from "./store";
import { branchesAlong, pathTo } from "./tree";
import type { Message } from "./types";

/* How much of the context the shown branch fills, as of its last answer. */
function ContextBar({ path }: { path: Message[] }) {
    const context = useStore((state) => state.facts?.context);
    const stats = [...path].reverse().find((message) => message.stats?.promptTokens)?.stats;
    if (!context || !stats) return null;
    const used = Math.min(context, stats.contextTokens ?? (stats.promptTokens ?? 0) + (stats.tokens ?? 0));
    const share = used / context;
    const text = `${used.toLocaleString("en")} of ${context.toLocaleString("en")} tokens of the context are used`;
    return (
        <div class={`context ${share > 0.9 ? "full" : ""}`} role="meter" aria-label="Context" aria-valuemin={0}
             aria-valuemax={context} aria-valuenow={used} aria-valuetext={text} title={text}>
            <span class="context-track"><span style={{ width: `${Math.max(1, 100 * share)}%` }} /></span>
            <span class="context-text">{used.toLocaleString("en")} / {context.toLocaleString("en")}</span>
        </div>
    );
}

function Head({ path }: { path: Message[] }) {
    const sidebar = useStore((state) => state.sidebar);
    const current = useStore((state) => state.current);
    const facts = useStore((state) => state.facts);
    return (
        <header class="head">
            {!sidebar && <>
                <IconButton icon="sidebar" label="Show the list (Ctrl+B)" onClick={() => set({ sidebar: true })} />
                <IconButton icon="plus" label="New conversation (Ctrl+Shift+O)" onClick={actions.begin} />
            </>}
            <div class="heading">
                <h1>{current?.title ?? "New conversation"}</h1>
                {facts && <button type="button" class="model" title="About the model"
                                  onClick={() => set({ dialog: "facts" })}>{facts.model}</button>}
            </div>
            <ContextBar path={path} />
        </header>
    );
}

const SUGGESTIONS = [
    "Explain how a transformer predicts the next word.",
    "Write a Python function that finds the prime numbers up to n.",
    "Give me three ideas for a rainy afternoon.",
    "Compare TCP and UDP in a table.",
];

function Welcome() {
    const model = useStore((state) => state.facts?.model);
    const chatError = useStore((state) => state.facts?.chatError);
    if (chatError) {
        return (
            <div class="welcome">
                <p class="welcome-title">This model cannot chat</p>
                <p>{chatError}. Programs can still use it through /v1/completions; for a conversation start the server
                    with a model made for it, or with --chat-template.</p>
            </div>
        );
    }
    return (
        <div class="welcome">
            <p class="welcome-title">What would you like to know?</p>
            <p>{model ? <><strong>{model}</strong> answers on your own server.</> : "A model answers on your own server."} What
                you write stays between this browser and that server.</p>
            <ul>
                {SUGGESTIONS.map((text) => (
                    <li><button type="button" onClick={() => (send(text, []), actions.focusComposer())}>{text}</button></li>
                ))}
            </ul>
        </div>
    );
}

function Banner() {
    const condition = useStore((state) => state.condition);
    if (condition === "ready") return null;
    return (
        <div class="banner" role="status">
            <span class="running" aria-hidden="true" />
            {condition === "loading" ? "The server is loading its model. This takes a moment."
                                     : "No connection to the server. Looking for it again…"}
        </div>
    );
}

/* Copy buttons inside of what the model wrote. */
async function onCopy(event: MouseEvent) {
    const button = (event.target as HTMLElement).closest?.<HTMLButtonElement>("button.copy-code");
    const code = button?.closest(".code")?.querySelector("code");
    if (!button || !code || !(await copyText(code.textContent ?? ""))) return;
    button.textContent = "Copied";
    speak("Copied");
    setTimeout(() => (button.textContent = "Copy"), 1500);
}

export function ConversationView() {
    const messages = useStore((state) => state.messages);
    const id = useStore((state) => state.current?.id ?? "");
    const leaf = useStore((state) => state.current?.leaf ?? null);
    const run = useStore((state) => state.runs.get(state.current?.id ?? ""));
    const path = useMemo(() => pathTo(messages, leaf), [messages, leaf]);
    const branches = useMemo(() => branchesAlong(messages, path), [messages, path]);
    const box = useRef<HTMLDivElement>(null), follows = useRef(true), top = useRef(0);
    const [atEnd, setAtEnd] = useState(true);
    const toEnd = () => {
        follows.current = true;
        box.current!.scrollTop = top.current = box.current!.scrollHeight;
    };
    /* only who scrolls up leaves the end: text that grows does not */
    const onScroll = () => {
        const { scrollTop, scrollHeight, clientHeight } = box.current!;
        const near = scrollHeight - scrollTop - clientHeight < 40;
        if (near) follows.current = true;
        else if (scrollTop < top.current - 2) follows.current = false;
        top.current = scrollTop;
        setAtEnd(near || follows.current);
    };
    useLayoutEffect(toEnd, [id, path.length]);
    useEffect(() => {
        const observer = new ResizeObserver(() => (follows.current ? toEnd() : onScroll()));
        observer.observe(box.current!.firstElementChild!);
        return () => observer.disconnect();
    }, []);
    useEffect(() => {
        document.title = path.length ? `${path[0]!.content.slice(0, 40) || "Conversation"} – puna` : "puna";
    }, [path[0]]);
    return (
        <main class="main">
            <Head path={path} />
            <Banner />
            <div class="scroll" ref={box} onScroll={onScroll} onClick={(event) => void onCopy(event)} tabIndex={-1}>
                <div class="messages">
                    {path.length === 0 && <Welcome />}
                    {path.map((message, i) => (
                        <MessageView key={message.id} message={message} branches={branches[i]!} busy={run !== undefined}
                                     run={run?.message === message.id ? run : undefined} last={i === path.length - 1} />
                    ))}
                </div>
            </div>
            <div class="bottom">
                {!atEnd && <button type="button" class="to-end" aria-label="To the end" title="To the end"
                                   onClick={toEnd}><Icon name="down" /></button>}
                <Composer />
                <p class="caution">Models make mistakes. Check what matters.</p>
            </div>
        </main>
    );
}
