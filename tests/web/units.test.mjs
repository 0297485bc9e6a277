/* units.test.mjs: the parts of the page that need no browser: event streams, formulas, trees of messages, files. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { EventReader } = await load("sse.ts");
const { inlineFormula, blockFormula, nextFormula } = await load("math.ts");
const tree = await load("tree.ts");
const { fromJson, toJson, readSettings } = await load("portable.ts");

function readAll(pieces) {
    const events = [];
    const reader = new EventReader((event) => events.push(event));
    for (const piece of pieces) typeof piece === "string" ? reader.push(piece) : reader.pushBytes(piece);
    return events;
}

const data = (events) => events.map((event) => event.data);

/* The examples of the HTML standard, section 9.2.6, with what it says they give. */
test("event streams: the examples of the standard", () => {
    assert.deepEqual(data(readAll(["data: YHOO\ndata: +2\ndata: 10\n\n"])), ["YHOO\n+2\n10"]);
    assert.deepEqual(data(readAll([": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"])),
                     ["first event", "second event"]);
    assert.deepEqual(data(readAll(["data\n\ndata\ndata\n\ndata:"])), ["", "\n"]);
    assert.deepEqual(data(readAll(["data:test\n\ndata: test\n\n"])), ["test", "test"]);
});

test("event streams: any cut, in bytes, with every kind of line end, gives the same", () => {
    for (const end of ["\n", "\r", "\r\n"]) {
        const text = ["\uFEFFevent: message", 'data: {"x": "é日本🙂"}', "", ": ping", "", "data: a", "data: b", "", "data: [DONE]", "", ""]
            .join(end);
        const bytes = new TextEncoder().encode(text);
        const wanted = ['{"x": "é日本🙂"}', "a\nb", "[DONE]"];
        for (let cut = 0; cut <= bytes.length; cut++) {
            assert.deepEqual(data(readAll([bytes.subarray(0, cut), bytes.subarray(cut)])), wanted, `${JSON.stringify(end)} at ${cut}`);
        }
        assert.deepEqual(data(readAll([...bytes].map((byte) => Uint8Array.of(byte)))), wanted);
    }
});

test("event streams: a line without end is refused, not kept for ever", () => {
    const reader = new EventReader(() => {});
    assert.throws(() => {
        for (let i = 0; i < 100; i++) reader.push("x".repeat(1 << 20));
    }, /too long/);
});

test("formulas: what is one and what is money", () => {
    const tex = (text) => inlineFormula(text)?.tex ?? null;
    assert.equal(tex("$x^2$ and"), "x^2");
    assert.equal(tex("$a$th"), "a");
    assert.equal(tex("$$x$$"), "x");
    assert.equal(tex("\\(x\\) y"), "x");
    assert.equal(tex("\\[ x \\]"), "x");
    assert.equal(tex("$a \\$ b$"), "a \\$ b");
    assert.equal(tex("$\\{a\\\\$"), "\\{a\\\\");
    for (const text of ["$5 and $10", "$ x$", "$x $", "$", "$$", "$5-$10", "$x\n\ny$", "$`x`$", "\\(x", "$$$$", "$HOME and $PATH",
                        "\\( \\)", "$1.50. Then $2"]) {
        assert.equal(inlineFormula(text), null, text);
    }
    assert.equal(nextFormula("a $x$"), 2);
    assert.equal(nextFormula("US$5"), -1);
    assert.equal(nextFormula("so \\(x\\)"), 3);
});

test("formulas: with lines to themselves", () => {
    assert.deepEqual(blockFormula("$$\nx\n$$\nmore"), { raw: "$$\nx\n$$\n", tex: "x", display: true });
    assert.deepEqual(blockFormula("\\[x\\]"), { raw: "\\[x\\]", tex: "x", display: true });
    assert.equal(blockFormula("\\begin{align*}a&=b\\\\c&=d\\end{align*}\n").tex, "\\begin{align*}a&=b\\\\c&=d\\end{align*}");
    assert.equal(blockFormula("$$x$$ is inline"), null);
    assert.equal(blockFormula("    $$x$$"), null, "that is code");
    assert.equal(blockFormula("\\begin{document}x\\end{document}"), null);
});

test("formulas: hostile text costs linear time", () => {
    for (const piece of ["$a ", "\\(", "$$", "\\[", "$a`", "\\begin{align}"]) {
        const text = piece.repeat(50_000);
        const began = performance.now();
        for (let at = 0; at < text.length; at += piece.length) inlineFormula(text.slice(at));
        assert.ok(performance.now() - began < 5000, piece);
    }
});

const message = (id, parent, created, role = "user") =>
    ({ id, parent, created, role, conversation: "c", content: `text ${id}` });

test("trees: paths, branches, circles", () => {
    const all = [message("a", null, 1), message("b", "a", 2), message("c", "a", 3), message("d", "b", 4), message("e", "c", 5)];
    const messages = new Map(all.map((one) => [one.id, one]));
    const ids = (list) => list.map((one) => one.id).join("");
    assert.equal(ids(tree.pathTo(messages, "d")), "abd");
    assert.equal(ids(tree.pathTo(messages, "none")), "");
    assert.equal(tree.newestLeaf(messages, "a"), "e");
    assert.deepEqual(tree.branchesAlong(messages, tree.pathTo(messages, "d")).map(ids), ["a", "bc", "d"]);
    messages.get("a").parent = "d";
    assert.equal(ids(tree.pathTo(messages, "d")), "abd", "a circle ends");
});

test("files: what is written is read back", () => {
    const item = {
        conversation: { id: "c", title: "Tîtle", titled: true, created: 5, updated: 9, leaf: "e",
                        settings: { temperature: 0.2, stop: ["x"], format: "json_schema", schema: "{}", probabilities: true } },
        messages: [message("a", null, 1), { ...message("b", "a", 2, "assistant"), ending: "length", reasoning: "hm",
                   stats: { tokens: 3 }, probabilities: [["x", -0.5, [["y", -1]]]], format: "json", model: "m" },
                   { ...message("e", "a", 3, "assistant"), ending: "stop" },
                   { ...message("f", null, 4), attachments: [{ name: "n", text: "t" }] }],
    };
    const [read] = fromJson(toJson([item]));
    const names = new Map(item.messages.map((one, i) => [read.messages[i].id, one.id]));
    const renamed = (id) => (id === null ? null : names.get(id));
    assert.deepEqual({ ...read.conversation, leaf: renamed(read.conversation.leaf) }, item.conversation);
    assert.deepEqual(read.messages.map((one) => ({ ...one, id: renamed(one.id), parent: renamed(one.parent) })), item.messages);
    assert.equal(new Set(read.messages.map((one) => one.id)).size, 4);
});

test("files: llama.cpp's chat page", () => {
    const conv = { id: "conv-1", name: "From elsewhere", lastModified: 1700000000000, currNode: "m3" };
    const base = { convId: "conv-1", timestamp: 1, children: [], extra: [] };
    const messages = [
        { ...base, id: "root", type: "root", role: "system", content: "", parent: null },
        { ...base, id: "s", type: "system", role: "system", content: "Be brief.", parent: "root" },
        { ...base, id: "m1", type: "text", role: "user", content: "Hi", parent: "s",
          extra: [{ type: "TEXT", name: "a.txt", content: "file" }, { type: "imageFile", name: "p", base64Url: "x" }] },
        { ...base, id: "m2", type: "text", role: "assistant", content: "Hello", parent: "m1", thinking: "hm", timestamp: 2,
          timings: { predicted_n: 10, predicted_ms: 500, prompt_n: 7, cache_n: 2 } },
        { ...base, id: "m3", type: "text", role: "assistant", content: "Hey", parent: "m1", timestamp: 3 },
    ];
    for (const file of [{ conv, messages }, [{ conv, messages }]]) {
        const [{ conversation, messages: read }] = fromJson(JSON.stringify(file));
        assert.equal(conversation.title, "From elsewhere");
        assert.equal(conversation.settings.system, "Be brief.");
        assert.deepEqual(read.map((one) => one.content), ["Hi", "Hello", "Hey"]);
        assert.equal(read[0].parent, null);
        assert.deepEqual(read.slice(1).map((one) => one.parent), [read[0].id, read[0].id]);
        assert.deepEqual(read[0].attachments, [{ name: "a.txt", text: "file" }]);
        assert.equal(read[1].reasoning, "hm");
        assert.equal(read[1].stats.tokensPerSecond, 20);
        assert.equal(conversation.leaf, read[2].id);
    }
});

test("files: anything else is refused or made harmless", () => {
    for (const text of ["", "no", "1", "null", "[]", "{}", "[1, 2]", '{"conversations": [{}]}', '{"conv": {"id": 1}}']) {
        assert.throws(() => fromJson(text), /not JSON|no conversations/, text);
    }
    const circle = { conversation: { id: 7, title: ["x"], leaf: {}, settings: { temperature: "hot", stop: [1, "a"], schema: 4 } },
                     messages: [null, 5, { id: "a", parent: "b", role: "user", content: 7 }, { id: "b", parent: "a", role: "assistant" },
                                { id: "c", parent: "c", role: "user", stats: [], probabilities: [[1], ["x", "y"]] }, { role: "tool" }] };
    const [{ conversation, messages }] = fromJson(JSON.stringify([circle]));
    assert.deepEqual(conversation.settings, { stop: ["a"] });
    assert.equal(typeof conversation.title, "string");
    const map = new Map(messages.map((one) => [one.id, one]));
    assert.equal(messages.length, 3);
    for (const one of messages) assert.equal(tree.pathTo(map, one.id)[0].parent, null);
    assert.deepEqual(readSettings({ seed: Infinity, top_k: 3, __proto__: { x: 1 } }), { top_k: 3 });
});
