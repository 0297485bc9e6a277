/* settings.tsx: the dialogs: settings, the model's facts, the API key, the keyboard. */
import { useState } from "preact/hooks";
import * as actions from "./actions";
import { setApiKey } from "./api";
import { Dialog } from "./parts";
import { get, set, toast, useStore } from "./store";
import type { Settings } from "./types";

const close = () => set({ dialog: "" });

type NumberField = "temperature" | "top_p" | "top_k" | "min_p" | "repeat_penalty" | "presence_penalty" |
    "frequency_penalty" | "max_tokens" | "seed";

const numbers: [NumberField, string, string, number, number, number | "any"][] = [
    ["temperature", "Temperature", "0: always the likeliest token; higher: more varied", 0, 5, "any"],
    ["max_tokens", "Length limit", "tokens of an answer", 1, 10_000_000, 1],
    ["top_p", "Top p", "only the likeliest tokens that together have this probability", 0, 1, "any"],
    ["top_k", "Top k", "only so many of the likeliest tokens; 0: all", 0, 1_000_000, 1],
    ["min_p", "Min p", "only tokens at least so likely, as a share of the likeliest", 0, 1, "any"],
    ["repeat_penalty", "Repeat penalty", "above 1: repeats become less likely", 0.01, 10, "any"],
    ["presence_penalty", "Presence penalty", "for tokens that were there already", -2, 2, "any"],
    ["frequency_penalty", "Frequency penalty", "for each time that they were there", -2, 2, "any"],
    ["seed", "Seed", "the same seed gives the same answer", 0, 2 ** 32 - 1, 1],
];

interface FieldProps {
    settings: Settings; /* what is set here */
    inherited: Settings; /* what holds where nothing is */
    everywhere: boolean;
}

function NumberInput({ field, settings, inherited, everywhere }: FieldProps & { field: (typeof numbers)[number] }) {
    const [name, label, hint, low, high, step] = field;
    const server = useStore((state) => state.facts?.defaults[name]);
    const [bad, setBad] = useState(false);
    const otherwise = inherited[name] ?? server;
    const read = (element: HTMLInputElement) => {
        const value = element.value === "" ? undefined : Number(element.value);
        const wrong = !element.validity.valid || (value !== undefined && !(value >= low && value <= high));
        setBad(wrong);
        if (!wrong) actions.changeSettings({ [name]: value }, everywhere);
    };
    return (
        <label class="field">
            <span>{label}</span>
            <input type="number" min={low} max={high} step={step} value={settings[name] ?? ""} aria-invalid={bad}
                   placeholder={otherwise === undefined ? (name === "seed" ? "random" : "none")
                                                        : String(Math.round(otherwise * 1e6) / 1e6)}
                   onInput={(event) => read(event.currentTarget)} />
            <small>{bad ? `from ${low} to ${high.toLocaleString("en")}` : hint}</small>
        </label>
    );
}

function schemaTrouble(text: string): string {
    if (!text.trim()) return "An answer needs a schema here to follow it.";
    try {
        const value = JSON.parse(text);
        return typeof value === "object" || typeof value === "boolean" ? "" : "A schema is an object.";
    } catch (error) {
        return error instanceof Error ? error.message : String(error);
    }
}

const EXAMPLE = JSON.stringify({
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer", minimum: 0 }, tags: { type: "array", items: { type: "string" } } },
    required: ["name", "age"],
    additionalProperties: false,
}, null, 2);

function FormatFields({ settings, inherited, everywhere }: FieldProps) {
    const format = settings.format ?? inherited.format ?? "text";
    const [text, setText] = useState(settings.schema ?? inherited.schema ?? "");
    const trouble = schemaTrouble(text);
    const change = (value: string) => {
        setText(value);
        if (!schemaTrouble(value)) actions.changeSettings({ schema: value, format: "json_schema" }, everywhere);
    };
    const choose = (value: "text" | "json_object" | "json_schema") => {
        const usable = value !== "json_schema" || !trouble;
        if (usable) return actions.changeSettings({ format: value }, everywhere);
        if (!text.trim()) change(EXAMPLE);
    };
    const kinds = [["text", "Text"], ["json_object", "Any JSON"], ["json_schema", "JSON by a schema"]] as const;
    return (
        <fieldset>
            <legend>Form of the answers</legend>
            <div class="choices">
                {kinds.map(([value, label]) => (
                    <label><input type="radio" name="format" checked={format === value}
                                  onChange={() => choose(value)} /> {label}</label>
                ))}
            </div>
            {format === "json_schema" && (
                <label class="field wide">
                    <span>JSON schema</span>
                    <textarea class="code-area" rows={9} spellcheck={false} value={text} aria-invalid={trouble !== ""}
                              onInput={(event) => change(event.currentTarget.value)} />
                    <small class={trouble ? "bad" : ""} role="status">
                        {trouble || "The model can only answer with JSON that this schema allows."}</small>
                </label>
            )}
        </fieldset>
    );
}

function Fields(props: FieldProps) {
    const { settings, inherited, everywhere } = props;
    const change = (patch: Settings) => actions.changeSettings(patch, everywhere);
    const thinking = settings.thinking ?? inherited.thinking ?? "";
    return (
        <>
            <label class="field wide">
                <span>System prompt</span>
                <textarea rows={3} value={settings.system ?? ""} placeholder={inherited.system || "none"}
                          onInput={(event) => change({ system: event.currentTarget.value || undefined })} />
                <small>What the model is told before the conversation: who it is, how it answers.</small>
            </label>
            <fieldset class="grid">
                <legend>Sampling</legend>
                {numbers.map((field) => <NumberInput key={field[0]} field={field} {...props} />)}
            </fieldset>
            <label class="field wide">
                <span>Stop texts</span>
                <textarea rows={2} value={(settings.stop ?? []).join("\n")} placeholder={inherited.stop?.join("\n") || "none"}
                          onInput={(event) => {
                              const stop = event.currentTarget.value.split("\n").filter((line) => line !== "").slice(0, 16);
                              change({ stop: stop.length ? stop : undefined });
                          }} />
                <small>One on each line; an answer ends before it.</small>
            </label>
            <FormatFields {...props} />
            <fieldset>
                <legend>More</legend>
                <label class="check">
                    <input type="checkbox" checked={settings.probabilities ?? inherited.probabilities ?? false}
                           onChange={(event) => change({ probabilities: event.currentTarget.checked })} />
                    Ask for token probabilities, to see what else the model might have said
                </label>
                <label class="check">
                    <span>Thinking, where the model's template knows it</span>
                    <select value={thinking} onChange={(event) =>
                        change({ thinking: (event.currentTarget.value || undefined) as Settings["thinking"] })}>
                        <option value="">as the model does</option>
                        <option value="on">on</option>
                        <option value="off">off</option>
                    </select>
                </label>
            </fieldset>
        </>
    );
}

function SettingsDialog() {
    const [everywhere, setEverywhere] = useState(false);
    const own = useStore((state) => (state.current ? state.current.settings : state.draftSettings));
    const defaults = useStore((state) => state.defaults);
    const [version, setVersion] = useState(0);
    const settings = everywhere ? defaults : own;
    const reset = () => {
        const nothing = Object.fromEntries(Object.keys(settings).map((name) => [name, undefined]));
        actions.changeSettings(nothing, everywhere);
        setVersion(version + 1);
    };
    return (
        <Dialog title="Settings" onClose={close} class="settings">
            <div class="tabs" role="group" aria-label="For what">
                <button type="button" aria-pressed={!everywhere} onClick={() => setEverywhere(false)}>This conversation</button>
                <button type="button" aria-pressed={everywhere} onClick={() => setEverywhere(true)}>All conversations</button>
            </div>
            <Fields key={`${everywhere} ${version}`} settings={settings} inherited={everywhere ? {} : defaults}
                    everywhere={everywhere} />
            <p class="buttons">
                <button type="button" class="plain" disabled={!Object.keys(settings).length} onClick={reset}>
                    {everywhere ? "Back to the server's own" : "Back to the defaults"}</button>
                <button type="button" class="primary" onClick={close}>Done</button>
            </p>
        </Dialog>
    );
}

function FactsDialog() {
    const facts = useStore((state) => state.facts);
    return (
        <Dialog title="The model" onClose={close}>
            <dl class="facts">
                {(facts?.rows ?? []).map(([label, value]) => <div key={label}><dt>{label}</dt><dd>{value}</dd></div>)}
            </dl>
        </Dialog>
    );
}

function KeyDialog() {
    const save = (event: SubmitEvent) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget as HTMLFormElement);
        setApiKey(String(form.get("key")).trim(), form.has("remember"));
        close();
        void actions.loadFacts().then(() => {
            if (get().facts && get().dialog !== "key") toast("The server knows the key");
        });
    };
    return (
        <Dialog title="API key" onClose={close}>
            <form onSubmit={save as any}>
                <p>A server that others can reach wants a key. It was printed when the server was started; ask whoever runs
                    it.</p>
                <label class="field wide">
                    <span>Key</span>
                    <input type="password" name="key" autocomplete="off" spellcheck={false} autofocus />
                </label>
                <label class="check"><input type="checkbox" name="remember" /> Remember it in this browser</label>
                <p class="buttons">
                    <button type="button" class="plain" onClick={close}>Cancel</button>
                    <button type="submit" class="primary">Use this key</button>
                </p>
            </form>
        </Dialog>
    );
}

const keys = [
    ["Enter", "send"], ["Shift+Enter", "a new line"], ["Esc", "stop the answer"], ["Ctrl+Shift+O", "new conversation"],
    ["Ctrl+K", "search"], ["Ctrl+B", "show or hide the list"], ["Ctrl+,", "settings"], ["/", "write a message"],
    ["?", "this list"],
];

function KeysDialog() {
    return (
        <Dialog title="Keyboard" onClose={close}>
            <dl class="facts">
                {keys.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}
            </dl>
        </Dialog>
    );
}

/* build.mjs puts them beside the script. */
function LicensesDialog() {
    return (
        <Dialog title="Licenses" onClose={close} class="settings">
            <p>This page is made of these packages.</p>
            <pre class="licenses" tabIndex={0}>{document.querySelector("#licenses")?.textContent}</pre>
        </Dialog>
    );
}

export function Dialogs() {
    const dialog = useStore((state) => state.dialog);
    switch (dialog) {
    case "settings": return <SettingsDialog />;
    case "facts": return <FactsDialog />;
    case "key": return <KeyDialog />;
    case "keys": return <KeysDialog />;
    case "licenses": return <LicensesDialog />;
    default: return null;
    }
}
