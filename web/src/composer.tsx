/* composer.tsx: where messages are written: text, attached text files, send and stop. What is written but not sent is
 * kept for each conversation while the page is open. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as actions from "./actions";
import { send, stop } from "./chat";
import { Icon } from "./icons";
import { IconButton } from "./parts";
import { set, toast, useStore } from "./store";
import type { Attachment } from "./types";

const MAX_FILE = 2_000_000;

interface Draft {
    text: string;
    files: Attachment[];
}

const drafts = new Map<string, Draft>();

async function readText(file: File): Promise<Attachment | null> {
    if (file.size > MAX_FILE) {
        toast(`${file.name} has more than ${MAX_FILE / 1e6} MB`, { bad: true });
        return null;
    }
    try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
        if (text.includes("\0")) throw new Error("binary");
        return { name: file.name.slice(0, 200), text };
    } catch {
        toast(`${file.name} is not a text file`, { bad: true });
        return null;
    }
}

/* What is switched on for this conversation, with the way to its settings. */
function Modes() {
    const own = useStore((state) => (state.current ? state.current.settings : state.draftSettings));
    const defaults = useStore((state) => state.defaults);
    const settings = { ...defaults, ...own };
    const modes = [
        settings.system?.trim() && "System prompt",
        settings.format === "json_object" && "JSON",
        settings.format === "json_schema" && "JSON schema",
        settings.probabilities && "Probabilities",
        settings.thinking && `Thinking ${settings.thinking}`,
    ].filter((mode): mode is string => !!mode);
    return (
        <>
            {modes.map((mode) => (
                <button type="button" class="mode" key={mode} title="Settings"
                        onClick={() => set({ dialog: "settings" })}>{mode}</button>
            ))}
        </>
    );
}

function FileList({ files, remove }: { files: Attachment[]; remove: (at: number) => void }) {
    if (!files.length) return null;
    return (
        <ul class="files" aria-label="Attached files">
            {files.map((file, at) => (
                <li class="file">
                    <Icon name="file" /> <span>{file.name}</span>
                    <IconButton icon="close" label={`Remove ${file.name}`} onClick={() => remove(at)} />
                </li>
            ))}
        </ul>
    );
}

export function Composer() {
    const id = useStore((state) => state.current?.id ?? "");
    const running = useStore((state) => state.runs.has(state.current?.id ?? ""));
    const model = useStore((state) => state.facts?.model);
    const [draft, setDraft] = useState<Draft>({ text: "", files: [] });
    const area = useRef<HTMLTextAreaElement>(null), picker = useRef<HTMLInputElement>(null);
    const change = (next: Draft) => {
        drafts.set(id, next);
        setDraft(next);
    };
    useLayoutEffect(() => setDraft(drafts.get(id) ?? { text: "", files: [] }), [id]);
    useLayoutEffect(() => {
        const element = area.current!;
        element.style.height = "auto";
        element.style.height = `${Math.min(element.scrollHeight, innerHeight * 0.4)}px`;
    }, [draft.text, id]);
    const attach = async (list: Iterable<File>) => {
        const files = (await Promise.all([...list].slice(0, 20).map(readText))).filter((one) => one !== null);
        const now = drafts.get(id) ?? { text: area.current!.value, files: [] };
        if (files.length) change({ ...now, files: [...now.files, ...files] });
        area.current?.focus();
    };
    const submit = () => {
        if (running || (!draft.text.trim() && !draft.files.length)) return;
        drafts.delete(id);
        setDraft({ text: "", files: [] });
        send(draft.text.trim(), draft.files);
        area.current?.focus();
    };
    useEffect(() => {
        const over = (event: DragEvent) => event.dataTransfer?.types.includes("Files") && event.preventDefault();
        const drop = (event: DragEvent) => {
            if (!event.dataTransfer?.files.length) return;
            event.preventDefault();
            void attach(event.dataTransfer.files);
        };
        const suggest = (event: Event) => {
            change({ text: (event as CustomEvent<string>).detail, files: [] });
            area.current?.focus();
        };
        document.addEventListener("dragover", over);
        document.addEventListener("drop", drop);
        document.addEventListener("puna-suggest", suggest);
        return () => {
            document.removeEventListener("dragover", over);
            document.removeEventListener("drop", drop);
            document.removeEventListener("puna-suggest", suggest);
        };
    }, [id]);
    const onKey = (event: KeyboardEvent) => {
        const touch = matchMedia("(pointer: coarse)").matches;
        if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
        event.preventDefault();
        submit();
    };
    return (
        <form class="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
            <FileList files={draft.files} remove={(at) =>
                change({ ...draft, files: draft.files.filter((_, i) => i !== at) })} />
            <textarea ref={area} id="composer" rows={1} value={draft.text} aria-label="Message"
                      placeholder={`Message ${model ?? "the model"}`} onKeyDown={onKey}
                      onInput={(event) => change({ ...draft, text: event.currentTarget.value })} />
            <div class="composer-row">
                <input ref={picker} type="file" multiple hidden onChange={() => {
                    void attach([...(picker.current!.files ?? [])]);
                    picker.current!.value = "";
                }} />
                <IconButton icon="clip" label="Attach text files" onClick={() => picker.current!.click()} />
                <IconButton icon="sliders" label="Settings" onClick={() => set({ dialog: "settings" })} />
                <Modes />
                <span class="gap" />
                {running
                    ? <button type="button" class="send stop" onClick={() => (stop(), actions.focusComposer())}
                              aria-label="Stop (Esc)" title="Stop (Esc)"><Icon name="stop" /></button>
                    : <button type="submit" class="send" aria-label="Send" title="Send (Enter)"
                              disabled={!draft.text.trim() && !draft.files.length}><Icon name="send" /></button>}
            </div>
        </form>
    );
}
