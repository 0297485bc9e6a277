/* server.ts: what the server says about its model, and whether it is there. */
import { ApiError, getJson } from "./api";
import type { Settings } from "./types";

export interface Facts {
    model: string;
    context?: number; /* tokens that a conversation can have */
    defaults: Partial<Record<keyof Settings, number>>; /* what the server does with a setting that is not sent */
    rows: [label: string, value: string][];
    chatError: string; /* why this model cannot chat, or "" */
}

const number = (value: unknown): number | undefined =>
    typeof value === "number" && Number.isFinite(value) ? value : undefined;

const LABELS: Record<string, string> = {
    "model_alias": "Served as", "arch": "Architecture",
    "name": "Its own name", "architecture": "Architecture", "tokenizer": "Tokenizer", "quantization": "Quantization", "n_params": "Parameters", "n_vocab": "Vocabulary",
    "n_ctx": "Context", "n_ctx_train": "Trained with a context of", "n_embd": "Embedding width", "n_layer": "Layers",
    "size": "Size", "bytes": "Size", "file_bytes": "Size", "weight_bytes": "Weights in memory", "kv_bytes": "KV cache",
    "total_slots": "Answers at once", "n_threads": "Threads", "build_info": "Server", "version": "Version",
    "license": "License", "chat_format": "Chat format", "backend": "Backend", "isa": "Instruction set",
};

function describe(name: string, value: string | number): string {
    if (typeof value === "string") return value;
    if (/bytes$|^size$/.test(name)) return `${(value / 1e6).toLocaleString("en", { maximumFractionDigits: 0 })} MB`;
    if (name === "n_params") {
        return value >= 1e9 ? `${(value / 1e9).toFixed(1)} billion` : `${(value / 1e6).toFixed(0)} million`;
    }
    return /^n_ctx/.test(name) ? `${value.toLocaleString("en")} tokens` : value.toLocaleString("en");
}

/* Rows of the values that are plain and have a label, in the order of the labels, each label once. */
function factRows(...sources: any[]): [string, string][] {
    const rows = new Map<string, string>();
    for (const [name, label] of Object.entries(LABELS)) {
        for (const source of sources) {
            const value = source?.[name];
            const known = (typeof value === "string" && value !== "") || number(value) !== undefined;
            if (known && !rows.has(label)) rows.set(label, describe(name, value).slice(0, 200));
        }
    }
    return [...rows];
}

export async function readFacts(): Promise<Facts> {
    const [first, second] = await Promise.allSettled([getJson("props"), getJson("v1/models")]);
    if (first.status === "rejected" && second.status === "rejected") throw first.reason;
    const props = first.status === "fulfilled" ? first.value : null;
    const models = second.status === "fulfilled" ? second.value : null;
    const model = models?.data?.[0];
    const generation = props?.default_generation_settings;
    const params = generation?.params ?? generation ?? {};
    const name = [props?.model_alias, model?.id, props?.model_path?.split?.("/").pop()]
        .find((one) => typeof one === "string" && one !== "");
    const context = number(generation?.n_ctx) ?? number(props?.n_ctx) ?? number(model?.meta?.n_ctx);
    const defaults: Facts["defaults"] = {};
    for (const field of ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty",
                         "frequency_penalty"] as const) {
        defaults[field] = number(params[field]);
    }
    return {
        model: name ?? "model",
        context,
        defaults,
        rows: factRows({ model_alias: name, n_ctx: context }, props, props?.model, model?.meta, model),
        chatError: props?.chat === false ? String(props.chat_error || "it has no chat format") : "",
    };
}

export type Condition = "ready" | "loading" | "gone";

/* Whether the server answers now; also of one that wants a key. */
export async function checkHealth(): Promise<Condition> {
    try {
        await getJson("health");
        return "ready";
    } catch (error) {
        if (error instanceof ApiError) return error.status === 503 ? "loading" : "ready";
        return "gone";
    }
}
