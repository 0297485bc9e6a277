/* sidebar.tsx: the list of conversations: new, search, rename, delete, import and export. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import * as actions from "./actions";
import { stop } from "./chat";
import { Icon } from "./icons";
import { IconButton, Menu } from "./parts";
import { get, set, useStore } from "./store";
import type { Conversation, Theme } from "./types";

const narrow = () => !matchMedia("(min-width: 800px)").matches;

export function closeIfNarrow(): void {
    if (narrow()) set({ sidebar: false });
}

function ageOf(time: number): string {
    const midnight = new Date().setHours(0, 0, 0, 0), day = 86_400_000;
    if (time >= midnight) return "Today";
    if (time >= midnight - day) return "Yesterday";
    return time >= midnight - 7 * day ? "Last 7 days" : time >= midnight - 30 * day ? "Last 30 days" : "Older";
}

/* After one is deleted the focus goes to the next, not to the top of the page. */
async function removeAndFocus(id: string) {
    const items = [...document.querySelectorAll<HTMLElement>(".conversation-open")];
    const at = items.findIndex((item) => item.dataset.id === id);
    const next = (items[at + 1] ?? items[at - 1])?.dataset.id;
    stop(id);
    await actions.remove(id);
    setTimeout(() => (document.querySelector<HTMLElement>(next ? `[data-id="${next}"]` : "#new"))?.focus(), 0);
}

function RenameField({ conversation, done }: { conversation: Conversation; done: () => void }) {
    const field = useRef<HTMLInputElement>(null), finished = useRef(false);
    useLayoutEffect(() => field.current!.select(), []);
    const finish = (save: boolean) => {
        if (finished.current) return; /* the field loses the focus once more as it goes */
        finished.current = true;
        if (save) actions.rename(conversation.id, field.current!.value);
        done();
    };
    return (
        <input ref={field} class="rename" aria-label="Name of the conversation" value={conversation.title}
               maxLength={200} onBlur={() => finish(true)} onKeyDown={(event) => {
                   if (event.key === "Enter") finish(true);
                   if (event.key === "Escape") {
                       event.stopPropagation();
                       finish(false);
                   }
               }} />
    );
}

function Row({ conversation, snippet }: { conversation: Conversation; snippet?: string }) {
    const [renaming, setRenaming] = useState(false);
    const current = useStore((state) => state.current?.id === conversation.id);
    const running = useStore((state) => state.runs.has(conversation.id));
    const { id, title } = conversation;
    const stopRenaming = () => {
        setRenaming(false);
        setTimeout(() => document.querySelector<HTMLElement>(`[data-id="${id}"]`)?.focus(), 0);
    };
    if (renaming) return <li class="conversation"><RenameField conversation={conversation} done={stopRenaming} /></li>;
    return (
        <li class={`conversation ${current ? "current" : ""}`}>
            <button type="button" class="conversation-open" data-id={id} title={title}
                    aria-current={current ? "page" : undefined}
                    onClick={() => void actions.open(id).then(closeIfNarrow).then(actions.focusComposer)}>
                <span class="conversation-title">
                    {running && <span class="running" role="img" aria-label="being answered" />}
                    {title}
                </span>
                {snippet && <span class="snippet">{snippet}</span>}
            </button>
            <Menu label={`More for ${title}`} icon="more" items={[
                { label: "Rename", icon: "edit", run: () => setTimeout(() => setRenaming(true), 0) },
                { label: "Export", icon: "file", run: () => void actions.exportConversations(id) },
                { label: "Delete", icon: "close", bad: true, run: () => void removeAndFocus(id) },
            ]} />
        </li>
    );
}

function Conversations() {
    const all = useStore((state) => state.conversations);
    const search = useStore((state) => state.search).trim().toLowerCase();
    const found = useStore((state) => state.found);
    const snippets = new Map((search ? found ?? [] : []).map((one) => [one.conversation, one.snippet]));
    const shown = search
        ? all.filter((one) => one.title.toLowerCase().includes(search) || snippets.has(one.id)) : all;
    const groups = new Map<string, Conversation[]>();
    for (const one of shown) {
        const age = search ? "Found" : ageOf(one.updated);
        groups.set(age, [...(groups.get(age) ?? []), one]);
    }
    return (
        <div class="conversations">
            <p class="unseen" role="status">{search ? `${shown.length} found` : ""}</p>
            {shown.length === 0 && <p class="nothing">{search ? "Nothing found." : "Conversations appear here."}</p>}
            {[...groups].map(([age, items]) => (
                <section key={age}>
                    <h3>{age}</h3>
                    <ul>{items.map((one) => <Row key={one.id} conversation={one} snippet={snippets.get(one.id)} />)}</ul>
                </section>
            ))}
        </div>
    );
}

const themes: [Theme, "half" | "sun" | "moon", string][] =
    [["auto", "half", "as the system"], ["light", "sun", "light"], ["dark", "moon", "dark"]];

function ThemeButton() {
    const theme = useStore((state) => state.theme);
    const at = themes.findIndex(([name]) => name === theme);
    const [next, , nextName] = themes[(at + 1) % 3]!;
    return <IconButton icon={themes[at]![1]} label={`Colours: ${themes[at]![2]}. Change to ${nextName}`}
                       onClick={() => actions.setTheme(next)} />;
}

export function Sidebar() {
    const open = useStore((state) => state.sidebar);
    const search = useStore((state) => state.search);
    const input = useRef<HTMLInputElement>(null);
    if (!open) return null;
    return (
        <>
            <div class="shade" onClick={() => set({ sidebar: false })} />
            <nav class="sidebar" aria-label="Conversations">
                <div class="sidebar-head">
                    <span class="brand">puna</span>
                    <IconButton icon="sidebar" label="Hide the list (Ctrl+B)" onClick={() => set({ sidebar: false })} />
                </div>
                <button type="button" class="new" id="new" title="Ctrl+Shift+O"
                        onClick={() => (actions.begin(), closeIfNarrow())}>
                    <Icon name="plus" /> New conversation
                </button>
                <div class="search">
                    <Icon name="search" />
                    <input type="search" id="search" placeholder="Search" aria-label="Search conversations"
                           title="Ctrl+K" value={search} onInput={(event) => actions.search(event.currentTarget.value)}
                           onKeyDown={(event) => {
                               if (event.key !== "Escape" || !get().search) return;
                               event.stopPropagation();
                               actions.search("");
                           }} />
                </div>
                <Conversations />
                <div class="sidebar-foot">
                    <input ref={input} type="file" accept=".json,application/json" hidden multiple onChange={async () => {
                        for (const file of input.current!.files ?? []) await actions.importFile(file);
                        input.current!.value = "";
                    }} />
                    <ThemeButton />
                    <IconButton icon="key" label="API key" onClick={() => set({ dialog: "key" })} />
                    <Menu label="Import, export and more" icon="more" items={[
                        { label: "Import…", icon: "down", run: () => input.current!.click() },
                        { label: "Export all", icon: "file", run: () => void actions.exportConversations() },
                        { label: "Keyboard shortcuts", icon: "menu", run: () => set({ dialog: "keys" }) },
                        { label: "Licenses", icon: "file", run: () => set({ dialog: "licenses" }) },
                    ]} />
                </div>
            </nav>
        </>
    );
}

