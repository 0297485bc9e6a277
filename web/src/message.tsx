/* message.tsx: one message of a conversation, with what can be done with it. */
import { Component } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import * as actions from "./actions";
import { continueAnswer, edit, regenerate, retry } from "./chat";
import { Icon } from "./icons";
import { type Block, BlockList } from "./markdown";
import { copyText, IconButton } from "./parts";
import { Probabilities } from "./probabilities";
import { type Run, set, speak } from "./store";
import type { Attachment, Message, Stats } from "./types";

/* Shown again only when its block is another one. */
class BlockView extends Component<{ block: Block }> {
    private element: HTMLDivElement | null = null;

    override shouldComponentUpdate(next: { block: Block }) {
        return next.block !== this.props.block;
    }
    override componentDidMount() {
        this.fill();
    }
    override componentDidUpdate() {
        this.fill();
    }
    private fill() {
        this.element!.innerHTML = this.props.block.html as string;
    }
    render() {
        return <div class="block" ref={(element) => void (this.element = element)} />;
    }
}

export function Markdown({ text, writing }: { text: string; writing: boolean }) {
    const list = useMemo(() => new BlockList(), []);
    const blocks = useMemo(() => list.update(text, !writing), [text, writing]);
    return (
        <div class={`markdown ${writing ? "writing" : ""}`}>
            {blocks.map((block, i) => <BlockView key={i} block={block} />)}
        </div>
    );
}

/* JSON answers are shown as code, set out when they are complete. */
function asJson(text: string): string {
    let shown = text;
    try {
        shown = JSON.stringify(JSON.parse(text), null, 4);
    } catch {
        /* not complete: as it came */
    }
    const fence = "`".repeat(Math.max(3, ...[...shown.matchAll(/`+/g)].map((match) => match[0].length + 1)));
    return `${fence}json\n${shown}\n${fence}`;
}

/* Models whose reasoning the server leaves in the text write it first, between <think> and </think>. */
export function splitReasoning(message: Message): { reasoning: string; content: string } {
    const { content, reasoning = "" } = message;
    const found = reasoning ? null : /^\s*<think>([\s\S]*?)(?:<\/think>\s*|$)/.exec(content);
    return found ? { reasoning: found[1]!.trim(), content: content.slice(found[0].length) } : { reasoning, content };
}

/* Open while the model thinks, folded when it speaks; what the reader chooses stays. */
function Reasoning({ text, writing, speaking }: { text: string; writing: boolean; speaking: boolean }) {
    const [chosen, setChosen] = useState<boolean | null>(null);
    const thinking = writing && !speaking;
    const open = chosen ?? thinking;
    const body = useRef<HTMLDivElement>(null);
    useLayoutEffect(() => {
        if (thinking && body.current) body.current.scrollTop = body.current.scrollHeight;
    }, [text, open]);
    return (
        <div class="reasoning">
            <button type="button" class="fold" aria-expanded={open} onClick={() => setChosen(!open)}>
                <Icon name="fold" /> {thinking ? "Thinking…" : "Thoughts"}
            </button>
            {open && <div class="reasoning-text" ref={body} tabIndex={0} role="group" aria-label="Thoughts">
                <Markdown text={text} writing={thinking} />
            </div>}
        </div>
    );
}

function Waiting({ run }: { run: Run }) {
    const [, tick] = useState(0);
    useEffect(() => {
        const timer = setInterval(() => tick((n) => n + 1), 1000);
        return () => clearInterval(timer);
    }, []);
    const began = useMemo(() => Date.now(), []);
    const seconds = Math.floor((Date.now() - began) / 1000);
    if (run.phase === "busy") {
        const left = Math.max(0, Math.ceil((run.retryAt! - Date.now()) / 1000));
        return <p class="waiting">The server is busy; trying again in {left} s</p>;
    }
    return (
        <p class="waiting">
            <span class="dots" aria-hidden="true"><i /><i /><i /></span>
            <span class={seconds < 2 ? "unseen" : ""}>{seconds < 2 ? "Reading" : `Reading the conversation, ${seconds} s`}</span>
        </p>
    );
}

function TroubleCard({ message }: { message: Message }) {
    const { title, detail, hint, action } = message.trouble!;
    const buttons = {
        retry: <button type="button" class="plain" onClick={() => retry(message)}>Try again</button>,
        continue: <button type="button" class="plain" onClick={() => continueAnswer(message)}>Continue</button>,
        key: <>
            <button type="button" class="plain" onClick={() => set({ dialog: "key" })}>Enter the key</button>
            <button type="button" class="plain" onClick={() => retry(message)}>Try again</button>
        </>,
        none: null,
    };
    return (
        <div class="trouble" role="group" aria-label="Error">
            <p><Icon name="warning" /> <strong>{title}</strong></p>
            <p class="detail">{detail}</p>
            <p>{hint}</p>
            {buttons[action] && <p class="buttons">{buttons[action]}</p>}
        </div>
    );
}

const count = (n: number): string => Math.round(n).toLocaleString("en");

function statsText(stats: Stats): string[] {
    const { tokensPerSecond, firstTokenMs, tokens, promptTokens, cachedTokens, reasoningTokens } = stats;
    return [
        tokensPerSecond ? `${tokensPerSecond.toFixed(1)} tokens/s` : "",
        firstTokenMs ? `first token after ${(firstTokenMs / 1000).toFixed(2)} s` : "",
        tokens ? `${count(tokens)} tokens${reasoningTokens ? ` (${count(reasoningTokens)} of thoughts)` : ""}` : "",
        promptTokens ? `prompt ${count(promptTokens)}${cachedTokens ? ` (${count(cachedTokens)} cached)` : ""}` : "",
    ].filter((part) => part !== "");
}

function Files({ files }: { files: Attachment[] }) {
    return (
        <>
            {files.map((file) => (
                <details class="attached">
                    <summary><Icon name="file" /> {file.name} <small>{count(file.text.length)} characters</small></summary>
                    <pre tabIndex={0} role="group" aria-label={file.name}>{file.text.slice(0, 50_000)}</pre>
                </details>
            ))}
        </>
    );
}

function Editor({ message, done }: { message: Message; done: () => void }) {
    const area = useRef<HTMLTextAreaElement>(null);
    const fit = () => {
        area.current!.style.height = "auto";
        area.current!.style.height = `${Math.min(area.current!.scrollHeight + 2, innerHeight * 0.6)}px`;
    };
    useLayoutEffect(() => {
        fit();
        area.current!.focus();
        area.current!.setSelectionRange(message.content.length, message.content.length);
    }, []);
    const finish = () => {
        const text = area.current!.value;
        done();
        if (text.trim()) edit(message, text);
    };
    return (
        <form class="editor" onSubmit={(event) => (event.preventDefault(), finish())}>
            <textarea ref={area} defaultValue={message.content} onInput={fit}
                      aria-label={message.role === "user" ? "Edit your message" : "Edit the answer"}
                      onKeyDown={(event) => {
                          if (event.key === "Escape") {
                              event.stopPropagation();
                              done();
                          }
                          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) finish();
                      }} />
            <p class="buttons">
                <button type="button" class="plain" onClick={done}>Cancel</button>
                <button type="submit" class="primary">{message.role === "user" ? "Send as a branch" : "Save as a branch"}</button>
            </p>
        </form>
    );
}

function BranchSwitch({ message, all }: { message: Message; all: Message[] }) {
    if (all.length < 2) return null;
    const at = all.findIndex((one) => one.id === message.id);
    const go = (to: number) => {
        actions.showBranch(all[to]!);
        speak(`Branch ${to + 1} of ${all.length}`);
        /* the focus stays on the same arrow, or at the end of the row goes to the other */
        const back = to === all.length - 1 || (to < at && to > 0);
        setTimeout(() => document.querySelector<HTMLElement>(
            `[data-message="${all[to]!.id}"] [aria-label="${back ? "Previous" : "Next"} branch"]`)?.focus(), 0);
    };
    return (
        <span class="branches" role="group" aria-label="Branches">
            <IconButton icon="previous" label="Previous branch" disabled={at === 0} onClick={() => go(at - 1)} />
            <span>{at + 1}/{all.length}</span>
            <IconButton icon="next" label="Next branch" disabled={at === all.length - 1} onClick={() => go(at + 1)} />
        </span>
    );
}

function CopyButton({ text, label }: { text: string; label: string }) {
    const [done, setDone] = useState(false);
    const copy = async () => {
        if (!(await copyText(text))) return;
        setDone(true);
        speak("Copied");
        setTimeout(() => setDone(false), 1500);
    };
    return <IconButton icon={done ? "check" : "copy"} label={label} onClick={() => void copy()} />;
}

interface MessageProps {
    message: Message;
    branches: Message[];
    run: Run | undefined; /* of this very message */
    busy: boolean; /* the conversation is being answered */
    last: boolean;
}

function Actions({ message, branches, busy, last, startEditing, likely, setLikely }: MessageProps & {
    startEditing: () => void; likely: boolean; setLikely: (on: boolean) => void;
}) {
    const answer = message.role === "assistant";
    const canContinue = answer && last && (message.ending !== "stop" || message.content !== "");
    return (
        <div class="actions">
            <BranchSwitch message={message} all={branches} />
            <CopyButton text={splitReasoning(message).content} label={answer ? "Copy the answer" : "Copy the message"} />
            <IconButton icon="edit" label={answer ? "Edit the answer" : "Edit the message"} disabled={busy}
                        onClick={startEditing} />
            {answer && <IconButton icon="again" label="Another answer" disabled={busy}
                                   onClick={() => regenerate(message)} />}
            {canContinue && <IconButton icon="forward" label="Continue" disabled={busy}
                                        onClick={() => continueAnswer(message)} />}
            {message.probabilities && <IconButton icon="chart" label="Token probabilities" pressed={likely}
                                                  onClick={() => setLikely(!likely)} />}
        </div>
    );
}

const endings: Partial<Record<string, string>> = {
    length: "It ended at the length limit.", stopped: "Stopped.", "": "It was interrupted.",
};

function Answer(props: MessageProps) {
    const { message, run } = props;
    const [likely, setLikely] = useState(false);
    const { reasoning, content } = useMemo(() => splitReasoning(message), [message]);
    const writing = run !== undefined;
    const json = message.format === "json";
    const stats = message.stats ? statsText(message.stats) : [];
    const [editing, actionsOrEditor] = useEditing(props, likely, setLikely);
    const note = writing ? undefined : endings[message.ending ?? "stop"];
    return (
        <>
            {reasoning && <Reasoning text={reasoning} writing={writing} speaking={content !== ""} />}
            {editing ? null : likely && message.probabilities
                ? <Probabilities tokens={message.probabilities} />
                : content && <Markdown text={json ? asJson(content) : content} writing={writing && !json} />}
            {run && run.phase !== "writing" && <Waiting run={run} />}
            {message.trouble && <TroubleCard message={message} />}
            {note && !message.trouble && <p class="note">{note}{props.last && " "}
                {props.last && <button type="button" class="link" onClick={() => continueAnswer(message)}>Continue</button>}
            </p>}
            {stats.length > 0 && <p class="stats">{stats.map((part) => <span key={part}>{part}</span>)}</p>}
            {!writing && actionsOrEditor}
        </>
    );
}

/* The actions of a message, and whether it is being edited. */
function useEditing(props: MessageProps, likely: boolean, setLikely: (on: boolean) => void) {
    const [editing, setEditing] = useState(false);
    const done = () => {
        setEditing(false);
        setTimeout(() => document.querySelector<HTMLElement>(
            `[data-message="${props.message.id}"] [aria-label^="Edit the"]`)?.focus(), 0);
    };
    const view = editing
        ? <Editor message={props.message} done={done} />
        : <Actions {...props} likely={likely} setLikely={setLikely} startEditing={() => setEditing(true)} />;
    return [editing, view] as const;
}

function Question(props: MessageProps) {
    const { attachments, content } = props.message;
    const [editing, actionsOrEditor] = useEditing(props, false, () => {});
    return (
        <>
            {attachments && <Files files={attachments} />}
            {content && !editing && <div class="question">{content}</div>}
            {actionsOrEditor}
        </>
    );
}

class MessageView extends Component<MessageProps> {
    override shouldComponentUpdate(next: MessageProps) {
        const { message, run, busy, last, branches } = this.props;
        return next.message !== message || next.run !== run || next.busy !== busy || next.last !== last ||
            next.branches.length !== branches.length || next.branches.some((one, i) => one.id !== branches[i]!.id);
    }
    render() {
        const { message } = this.props;
        const answer = message.role === "assistant";
        return (
            <article class={`message ${message.role}`} data-message={message.id}>
                <h2 class="unseen">{answer ? "Answer" : "You"}</h2>
                {answer ? <Answer {...this.props} /> : <Question {...this.props} />}
            </article>
        );
    }
}

export { MessageView };
