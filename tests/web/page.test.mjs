/* page.test.mjs: the page in Chromium against fake_server.mjs: what a reader does with it, and what a hostile model tries.
 * Every test has a profile of its own, and fails when the page breaks its Content-Security-Policy, has a script error, or
 * asks any other server. With PUNA_SCREENSHOTS=FOLDER it leaves pictures to look at. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { answered, lastAnswer, openPage, say, startBrowser } from "./browser.mjs";
import { MODEL, startServer } from "./fake_server.mjs";
import { built, bundle } from "./modules.mjs";
import { vectors } from "./vectors.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "puna-web-"));
let chromium, server;

before(async () => {
    chromium = await startBrowser();
    server = await startServer(built);
});

after(async () => {
    await chromium?.stop();
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
});

/* A test with a page of its own; it may leave server.answer and the like as it wants. */
function pageTest(name, work, options = {}) {
    test(name, { timeout: 60_000 }, async () => {
        Object.assign(server, { answer: null, key: "", loading: false, requests: [] });
        const page = await openPage(chromium.browser, server.url, options);
        try {
            await work(page);
            assert.deepEqual(page.bad, []);
        } catch (error) {
            if (process.env.PUNA_SCREENSHOTS) {
                await page.screenshot({ path: join(process.env.PUNA_SCREENSHOTS, `failed-${name.slice(0, 30)}.png`) });
            }
            throw error;
        } finally {
            await page.context().close();
        }
    });
}

const answers = (...texts) => () => ({ text: texts.length > 1 ? texts.shift() : texts[0] });
const text = (page) => lastAnswer(page).locator(".markdown").last().innerText();
const action = (page, label, role = "assistant") => page.locator(`article.${role}`).last().getByLabel(label, { exact: true });
const messagesSent = (at = -1) => server.requests.at(at).messages;

async function openConversation(page, title) {
    await page.locator(".conversation-open", { hasText: title }).first().click();
    await page.waitForSelector(`h1:text-is("${title}")`);
}

async function ask(page, question) {
    await say(page, question);
    await answered(page);
}

/* ---- talking ---- */

pageTest("the first message needs nothing but words", async (page) => {
    server.answer = answers("Hello **there**.");
    assert.equal(await page.evaluate(() => document.activeElement.id), "composer");
    await ask(page, "Hi");
    assert.equal(await text(page), "Hello there.");
    assert.equal(await lastAnswer(page).locator("strong").innerText(), "there");
    const [body] = server.requests;
    assert.deepEqual(body.messages, [{ role: "user", content: "Hi" }]);
    assert.equal(body.stream, true);
    assert.equal(body.model, MODEL);
    for (const name of ["temperature", "max_tokens", "response_format", "logprobs"]) assert.ok(!(name in body), name);
    assert.match(await lastAnswer(page).locator(".stats").innerText(), /42\.5 tokens\/s[\s\S]*2 tokens[\s\S]*prompt 120 \(100 cached\)/);
    assert.equal(await page.getByRole("meter").getAttribute("aria-valuenow"), "122");
    assert.equal(await page.getByRole("meter").getAttribute("aria-valuemax"), "2048");
});

pageTest("an answer grows while it comes, and only its last block is made again", async (page) => {
    let go;
    const gate = new Promise((resolve) => (go = resolve));
    server.answer = () => ({ pieces: [..."First paragraph.\n\nSecond paragraph that grows and grows.\n\n- a\n- b\n"], delay: 8 });
    await say(page, "x");
    await page.waitForSelector("article.assistant .block:nth-child(2)");
    await page.evaluate(() => {
        window.changes = { first: 0, any: 0 };
        const first = document.querySelector("article.assistant .block");
        new MutationObserver(() => window.changes.first++).observe(first, { childList: true, subtree: true, characterData: true });
        new MutationObserver(() => window.changes.any++).observe(first.parentElement, { childList: true, subtree: true });
        window.began = performance.now();
    });
    await answered(page);
    go();
    await gate;
    const { first, any, seconds } = await page.evaluate(() => ({ ...window.changes, seconds: (performance.now() - window.began) / 1000 }));
    assert.equal(first, 0);
    assert.ok(any >= 2, `${any} changes`);
    assert.ok(any <= 22 * seconds + 6, `${any} changes in ${seconds} s`);
    assert.equal(await lastAnswer(page).locator("li").count(), 2);
});

pageTest("pieces cut anywhere in the stream give the same answer", async (page) => {
    server.answer = () => ({ pieces: [..."日本語 🙂 é"] });
    await ask(page, "x");
    assert.equal(await text(page), "日本語 🙂 é");
});

pageTest("stop: by the button and by Escape; what came is kept, and the server sees us leave", async (page) => {
    for (const how of ["button", "key"]) {
        let left;
        const gone = new Promise((resolve) => (left = resolve));
        server.answer = () => ({ text: "word ".repeat(400), delay: 10, onGone: left });
        await say(page, "go on");
        await page.waitForFunction(() => [...document.querySelectorAll("article.assistant")].at(-1)?.innerText.includes("word word"));
        if (how === "button") await page.getByLabel("Stop (Esc)").click();
        else await page.keyboard.press("Escape");
        await answered(page);
        await gone;
        assert.match(await lastAnswer(page).innerText(), /word[\s\S]*Stopped\./);
    }
    await page.reload();
    await page.waitForSelector("article.assistant");
    assert.match(await lastAnswer(page).innerText(), /word[\s\S]*Stopped\./);
});

pageTest("stop while nothing has come yet", async (page) => {
    let left;
    const gone = new Promise((resolve) => (left = resolve));
    server.answer = () => ({ hang: true, onGone: left });
    await say(page, "x");
    await page.waitForSelector(".waiting");
    await page.keyboard.press("Escape");
    await answered(page);
    await gone;
});

pageTest("continue writes on in the same message", async (page) => {
    server.answer = () => ({ text: "One two", finish: "length" });
    await ask(page, "Count");
    assert.match(await lastAnswer(page).innerText(), /length limit/);
    server.answer = answers(" three four.");
    await page.getByRole("button", { name: "Continue" }).first().click();
    await answered(page);
    assert.equal(await text(page), "One two three four.");
    assert.equal(await page.locator("article.assistant").count(), 1);
    const body = server.requests.at(-1);
    assert.deepEqual(body.messages.at(-1), { role: "assistant", content: "One two" });
    assert.equal(body.continue_final_message, true);
    assert.equal(body.add_generation_prompt, false);
    assert.match(await lastAnswer(page).locator(".stats").innerText(), /4 tokens/);
    assert.equal(await page.getByRole("meter").getAttribute("aria-valuenow"), "122");
});

/* ---- branches ---- */

pageTest("another answer is a branch; the arrows go between them", async (page) => {
    server.answer = answers("Answer A", "Answer B", "Answer C");
    await ask(page, "Q");
    for (const wanted of ["Answer B", "Answer C"]) {
        await action(page, "Another answer").click();
        await answered(page);
        assert.equal(await text(page), wanted);
    }
    assert.deepEqual(messagesSent(), [{ role: "user", content: "Q" }]);
    assert.match(await lastAnswer(page).locator(".branches").innerText(), /3\/3/);
    await action(page, "Previous branch").click();
    assert.equal(await text(page), "Answer B");
    await action(page, "Previous branch").click();
    assert.equal(await text(page), "Answer A");
    assert.ok(await action(page, "Previous branch").isDisabled());
    await page.reload();
    await page.waitForSelector("article.assistant");
    assert.equal(await text(page), "Answer A");
    assert.match(await lastAnswer(page).locator(".branches").innerText(), /1\/3/);
});

pageTest("editing a question makes a branch that leaves the old one alone", async (page) => {
    server.answer = (body) => ({ text: `Answer to ${body.messages.at(-1).content}` });
    await ask(page, "first");
    await ask(page, "second");
    const first = page.locator("article.user").first();
    await first.getByLabel("Edit the message").click();
    await page.getByLabel("Edit your message").fill("other");
    await page.getByRole("button", { name: "Send as a branch" }).click();
    await answered(page);
    assert.deepEqual(messagesSent(), [{ role: "user", content: "other" }]);
    assert.equal(await page.locator("article").count(), 2);
    await first.getByLabel("Previous branch").click();
    assert.deepEqual(await page.locator(".question").allInnerTexts(), ["first", "second"]);
    await page.locator("article.user").first().getByLabel("Next branch").click();
    assert.equal(await text(page), "Answer to other");
});

pageTest("editing an answer keeps both, and the next question sends what is shown", async (page) => {
    server.answer = answers("wrong", "ok");
    await ask(page, "Q");
    await action(page, "Edit the answer").click();
    await page.getByLabel("Edit the answer").fill("right");
    await page.keyboard.press("Control+Enter");
    assert.equal(await text(page), "right");
    assert.equal(server.requests.length, 1);
    await ask(page, "next");
    assert.deepEqual(messagesSent().map((one) => one.content), ["Q", "right", "next"]);
});

/* ---- conversations ---- */

pageTest("conversations: kept over a reload, renamed, searched, deleted, brought back", async (page) => {
    server.answer = (body) => ({ text: `About ${body.messages.at(-1).content}: pelicans fly.` });
    await ask(page, "birds");
    await page.keyboard.press("Control+Shift+O");
    server.answer = answers("Engines turn.");
    await ask(page, "cars");
    await page.reload();
    await page.waitForSelector("article.assistant");
    assert.equal(await text(page), "Engines turn.");
    assert.deepEqual(await page.locator(".conversation-title").allInnerTexts(), ["cars", "birds"]);

    await page.getByLabel("More for cars").click();
    await page.getByRole("menuitem", { name: "Rename" }).click();
    await page.getByLabel("Name of the conversation").fill("Automobiles");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("h1").innerText(), "Automobiles");

    await page.keyboard.press("Control+k");
    await page.waitForFunction(() => document.activeElement.id === "search");
    await page.keyboard.type("PELICAN");
    await page.waitForSelector(".snippet");
    assert.deepEqual(await page.locator(".conversation-title").allInnerTexts(), ["birds"]);
    assert.match(await page.locator(".snippet").innerText(), /pelicans fly/);
    await openConversation(page, "birds");
    assert.match(await text(page), /pelicans/);
    await page.fill("#search", "");

    await page.getByLabel("More for birds").click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".conversation").length === 1);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".conversation").length === 2);
    await openConversation(page, "birds");
    assert.match(await text(page), /pelicans/);
    await page.getByLabel("More for birds").click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    await page.waitForFunction(() => document.querySelectorAll(".conversation").length === 1);
    await page.reload();
    await page.waitForSelector(".conversation");
    assert.deepEqual(await page.locator(".conversation-title").allInnerTexts(), ["Automobiles"]);
});

async function download(page, menu, item) {
    await page.getByLabel(menu).click();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: item }).click()]);
    const path = join(folder, file.suggestedFilename());
    await file.saveAs(path);
    return path;
}

pageTest("export and import: everything comes back, also into an empty browser", async (page) => {
    server.answer = answers("A1", "A2", "other");
    await ask(page, "Q1");
    await action(page, "Another answer").click();
    await answered(page);
    await page.keyboard.press("Control+Shift+O");
    await ask(page, "Q2");
    const path = await download(page, "Import, export and more", "Export all");
    const exported = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual(exported.conversations.map((one) => one.messages.length).sort(), [2, 3]);

    await page.setInputFiles("nav input[type=file]", path);
    await page.waitForSelector("text=2 here already");
    assert.equal(await page.locator(".conversation").count(), 2);

    const other = await openPage(chromium.browser, server.url);
    try {
        await other.setInputFiles("nav input[type=file]", path);
        await other.waitForSelector("text=Imported 2 conversations");
        await openConversation(other, "Q1");
        assert.equal(await text(other), "A2");
        await action(other, "Previous branch").click();
        assert.equal(await text(other), "A1");
        const again = JSON.parse(readFileSync(await download(other, "Import, export and more", "Export all"), "utf8"));
        const plain = (file) => file.conversations.map(({ conversation, messages }) =>
            [conversation.id, conversation.title, messages.map((one) => [one.role, one.content, one.created]).sort()]).sort();
        assert.deepEqual(plain(again), plain(exported));
        assert.deepEqual(other.bad, []);
    } finally {
        await other.context().close();
    }
});

pageTest("import: a file of llama.cpp's page, and files that are none", async (page) => {
    const conv = { id: "x", name: "Imported", lastModified: 5, currNode: "b" };
    const messages = [{ id: "r", type: "root", role: "system", content: "", parent: null },
                      { id: "a", role: "user", content: "Hi", parent: "r", timestamp: 1 },
                      { id: "b", role: "assistant", content: "<img src=x onerror=window.ran(1)>**Ho**", parent: "a", timestamp: 2 }];
    const files = { good: JSON.stringify([{ conv, messages }]), broken: "{", other: '{"a": 1}' };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, `${name}.json`), content);
    await page.setInputFiles("nav input[type=file]", join(folder, "good.json"));
    await openConversation(page, "Imported");
    assert.match(await text(page), /Ho/);
    for (const [name, wanted] of [["broken", "not JSON"], ["other", "no conversations"]]) {
        await page.setInputFiles("nav input[type=file]", join(folder, `${name}.json`));
        await page.waitForSelector(`.toast.bad:has-text("${wanted}")`);
    }
});

pageTest("an answer goes on while another conversation is shown", async (page) => {
    server.answer = () => ({ text: "slow ".repeat(60), delay: 15 });
    await say(page, "long");
    await page.waitForSelector("article.assistant .markdown");
    await page.keyboard.press("Control+Shift+O");
    assert.equal(await page.locator("article").count(), 0);
    server.answer = answers("quick");
    await ask(page, "short");
    await page.waitForFunction(() => !document.querySelector("nav .running"));
    await openConversation(page, "long");
    assert.equal((await text(page)).trim().split(" ").length, 60);
});

pageTest("a reload in the middle keeps what had come, and continues", async (page) => {
    server.answer = () => ({ text: "alpha ".repeat(500), delay: 10 });
    await say(page, "go");
    await page.waitForFunction(() => (document.querySelector("article.assistant")?.innerText.match(/alpha/g) ?? []).length > 120);
    await page.reload();
    await page.waitForSelector("article.assistant .note");
    assert.match(await lastAnswer(page).innerText(), /alpha[\s\S]*interrupted/);
    server.answer = answers(" omega");
    await page.getByRole("button", { name: "Continue" }).first().click();
    await answered(page);
    assert.match(await text(page), /alpha[\s\S]*omega$/);
});

pageTest("two tabs show the same conversations", async (page) => {
    const second = await page.context().newPage();
    await second.goto(server.url);
    await second.waitForSelector("#composer");
    server.answer = answers("Hello");
    await ask(page, "in the first tab");
    await second.waitForSelector(".conversation-title:has-text('in the first tab')");
});

/* ---- what answers hold ---- */

pageTest("markdown: tables, code with a copy button, math, links, tasks", async (page) => {
    server.answer = answers("# Title\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n\n```python\ndef f(x):\n    return 'x'\n```\n\n" +
        "Inline $x^2$ and money $5, $6.\n\n$$\\frac{a}{b}$$\n\n[l](https://example.org/p?q=1) [m](mailto:a@b.c) [bad](ftp://x)\n\n" +
        "- [x] done\n- [ ] open\n\nH<sub>2</sub>O<br>next\n\n![pic](https://example.org/p.png) line one\nline two");
    await ask(page, "all");
    const answer = lastAnswer(page);
    assert.equal(await answer.locator("table td").count(), 2);
    assert.ok(await answer.locator(".hljs-keyword").count() >= 2);
    assert.equal(await answer.locator("math").count(), 2);
    assert.equal(await answer.locator("math[display=block] mfrac").count(), 1);
    assert.match(await answer.innerText(), /money \$5, \$6/);
    const links = await answer.locator("a").evaluateAll((all) => all.map((a) => [a.getAttribute("href"), a.rel, a.target]));
    assert.deepEqual(links, [["https://example.org/p?q=1", "noopener noreferrer", "_blank"],
                             ["mailto:a@b.c", "noopener noreferrer", "_blank"],
                             ["https://example.org/p.png", "noopener noreferrer", "_blank"]]);
    assert.equal(await answer.locator("img").count(), 0);
    assert.equal(await answer.locator(".task").count(), 2);
    assert.equal(await answer.locator("sub").count(), 1);
    await answer.locator(".copy-code").click();
    await page.waitForSelector(".copy-code:has-text('Copied')");
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "def f(x):\n    return 'x'");
    await action(page, "Copy the answer").click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^# Title/);
});

pageTest("reasoning: open while the model thinks, folded when it speaks; also from <think>", async (page) => {
    server.answer = () => ({ reasoning: "I wonder. ".repeat(20), text: "Done.", delay: 10 });
    await say(page, "think");
    await page.waitForSelector(".fold[aria-expanded=true]:has-text('Thinking')");
    await answered(page);
    const fold = lastAnswer(page).locator(".fold");
    assert.equal(await fold.getAttribute("aria-expanded"), "false");
    assert.equal(await text(page), "Done.");
    await fold.click();
    assert.match(await lastAnswer(page).locator(".reasoning-text").innerText(), /I wonder/);
    server.answer = answers("<think>\nhidden\n</think>\n\nShown.");
    await ask(page, "again");
    assert.equal(await text(page), "Shown.");
    assert.equal(await lastAnswer(page).locator(".fold").count(), 1);
});

pageTest("token probabilities: colours, alternatives on hover and by the arrow keys", async (page) => {
    await page.getByLabel("Settings").click();
    await page.getByLabel(/token probabilities/).check();
    await page.getByRole("button", { name: "Done" }).click();
    server.answer = answers("The sky is blue today");
    await ask(page, "sky");
    assert.equal(server.requests[0].logprobs, true);
    assert.equal(server.requests[0].top_logprobs, 5);
    await action(page, "Token probabilities").click();
    const tokens = lastAnswer(page).locator(".tokens .token");
    assert.deepEqual(await tokens.allTextContents(), ["The", " sky", " is", " blue", " today"]);
    assert.match(await tokens.nth(0).getAttribute("class"), /p0/);
    await tokens.nth(3).hover();
    assert.match(await page.locator(".alternatives .chosen").innerText(), /␣blue[\s\S]*74\.1 %/);
    await tokens.nth(0).focus();
    await page.keyboard.press("ArrowRight");
    assert.match(await page.locator(".alternatives").innerText(), /␣sky[\s\S]*90\.5 %[\s\S]*␣other[\s\S]*8\.21 %/);
    await page.keyboard.press("End");
    assert.match(await page.locator(".alternatives .chosen").innerText(), /␣today/);
    assert.equal(await page.locator(".tokens .token[tabindex='0']").count(), 1);
});

pageTest("JSON schema: sent with the request, wrong JSON is not, the answer is set out", async (page) => {
    await page.getByLabel("Settings").click();
    await page.getByLabel("JSON by a schema").check();
    const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
    await page.getByLabel("JSON schema", { exact: false }).last().fill("{ wrong");
    await page.waitForSelector("[aria-invalid=true]");
    await page.getByLabel("JSON schema", { exact: false }).last().fill(JSON.stringify(schema));
    await page.getByRole("button", { name: "Done" }).click();
    server.answer = answers('{"city":"Paris"}');
    await ask(page, "capital");
    assert.deepEqual(server.requests[0].response_format,
                     { type: "json_schema", json_schema: { name: "answer", strict: true, schema } });
    assert.equal(await lastAnswer(page).locator("code").innerText(), '{\n    "city": "Paris"\n}');
    assert.equal(await page.locator(".mode").innerText(), "JSON schema");
});

pageTest("settings: of one conversation, of all, and back", async (page) => {
    server.answer = answers("ok");
    const set = async (values, everywhere) => {
        await page.getByLabel("Settings").click();
        if (everywhere) await page.getByRole("button", { name: "All conversations" }).click();
        for (const [label, value] of Object.entries(values)) await page.getByLabel(label).fill(value);
        await page.getByRole("button", { name: "Done" }).click();
    };
    await set({ "Temperature": "0.3", "System prompt": "Be brief.", "Stop texts": "END\nSTOP" });
    await ask(page, "one");
    assert.equal(server.requests[0].temperature, 0.3);
    assert.deepEqual(server.requests[0].stop, ["END", "STOP"]);
    assert.deepEqual(messagesSent()[0], { role: "system", content: "Be brief." });
    await page.keyboard.press("Control+Shift+O");
    await ask(page, "two");
    assert.ok(!("temperature" in server.requests[1]));
    assert.equal(messagesSent()[0].role, "user");
    await set({ "Top k": "7", "Seed": "42" }, true);
    await ask(page, "three");
    assert.equal(server.requests[2].top_k, 7);
    assert.equal(server.requests[2].seed, 42);
    await openConversation(page, "one");
    await ask(page, "four");
    assert.deepEqual([server.requests[3].temperature, server.requests[3].top_k], [0.3, 7]);
    await page.reload();
    await page.waitForSelector("article");
    await page.getByLabel("Settings").click();
    assert.equal(await page.getByLabel("Temperature").inputValue(), "0.3");
    assert.equal(await page.getByLabel("Top k").getAttribute("placeholder"), "7");
    await page.getByLabel("Top p").fill("3");
    assert.equal(await page.getByLabel("Top p").getAttribute("aria-invalid"), "true");
    await page.getByRole("button", { name: "Back to the defaults" }).click();
    assert.equal(await page.getByLabel("Temperature").inputValue(), "");
    await page.keyboard.press("Escape");
    await ask(page, "five");
    assert.ok(!("temperature" in server.requests[4]) && !("top_p" in server.requests[4]));
});

pageTest("text files are attached, others are refused", async (page) => {
    server.answer = answers("read");
    const good = { name: "notes.md", mimeType: "text/markdown", buffer: Buffer.from("Line ```x``` é\n") };
    await page.setInputFiles(".composer input[type=file]", [good, { name: "a.bin", mimeType: "x/y", buffer: Buffer.from([0, 255, 1]) }]);
    await page.waitForSelector(".toast.bad:has-text('a.bin is not a text file')");
    await page.setInputFiles(".composer input[type=file]", [{ ...good, name: "second.txt" }]);
    await page.getByLabel("Remove second.txt").click();
    await ask(page, "Sum up");
    assert.equal(messagesSent()[0].content, "notes.md:\n````\nLine ```x``` é\n````\n\nSum up");
    await page.locator(".attached summary").click();
    assert.match(await page.locator(".attached pre").innerText(), /Line/);
});

pageTest("the model's facts", async (page) => {
    await page.getByRole("button", { name: MODEL }).click();
    assert.match(await page.locator("dialog").innerText(), /135 million[\s\S]*/);
    assert.match(await page.locator("dialog").innerText(), /2,048 tokens/);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog").count(), 0);
});

pageTest("the licenses of what the page is made of", async (page) => {
    await page.getByLabel("Import, export and more").click();
    await page.getByRole("menuitem", { name: "Licenses" }).click();
    const shown = await page.locator("dialog").innerText();
    for (const name of ["preact", "marked", "dompurify", "highlight.js", "katex"]) assert.match(shown, new RegExp(`^${name} \\d`, "m"));
});

/* ---- when things go wrong ---- */

pageTest("errors say what to do: context, server failure, a failure in the stream, bad request", async (page) => {
    const cases = [
        [{ status: 400, error: { message: "5000 tokens", code: "context_length_exceeded" } }, /no longer fits[\s\S]*5000 tokens[\s\S]*larger/],
        [{ status: 500, error: { message: "boom" } }, /server failed[\s\S]*boom[\s\S]*log/],
        [{ status: 400, error: { message: "must be below 2", param: "top_p" } }, /refused[\s\S]*below 2[\s\S]*top_p/],
        [{ text: "some words", failure: "out of pages" }, /some words[\s\S]*server failed[\s\S]*out of pages/],
        [{ status: 413, error: { message: "64 MB" } }, /too large/],
    ];
    for (const [reply, wanted] of cases) {
        server.answer = () => reply;
        await ask(page, "x");
        assert.match(await lastAnswer(page).innerText(), wanted);
    }
    server.answer = () => ({ status: 500, error: { message: "boom" } });
    await ask(page, "y");
    assert.deepEqual(messagesSent().map((one) => [one.role, one.content]),
                     [["user", "x\n\nx\n\nx\n\nx"], ["assistant", "some words"], ["user", "x\n\ny"]], "roles take turns");
    server.answer = answers("well again");
    await page.getByRole("button", { name: "Try again" }).last().click();
    await answered(page);
    assert.equal(await text(page), "well again");
});

pageTest("a busy server is asked again after Retry-After", async (page) => {
    let times = 0;
    server.answer = () => (++times < 3 ? { status: 429, error: { message: "full", code: "queue_full" }, headers: { "Retry-After": "1" } }
                                       : { text: "my turn" });
    await say(page, "x");
    await page.waitForSelector("text=/busy; trying again in/");
    await answered(page);
    assert.equal(await text(page), "my turn");
    assert.equal(times, 3);
});

pageTest("a key is asked for, used and remembered", async (page) => {
    server.key = "sesame";
    await page.reload();
    await page.waitForSelector("dialog:has-text('API key')");
    await page.getByLabel("Key", { exact: true }).fill("wrong");
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.waitForSelector("dialog:has-text('API key')");
    await page.getByLabel("Key", { exact: true }).fill("sesame");
    await page.getByLabel("Remember it").check();
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.waitForSelector("text=The server knows the key");
    server.answer = answers("open");
    await ask(page, "x");
    assert.equal(await text(page), "open");
    server.key = "changed";
    await say(page, "y");
    await page.waitForSelector("dialog:has-text('API key')");
    await page.getByLabel("Key", { exact: true }).fill("changed");
    await page.getByLabel("Remember it").check();
    await page.getByRole("button", { name: "Use this key" }).click();
    await page.getByRole("button", { name: "Try again" }).click();
    await answered(page);
    assert.equal(await text(page), "open");
    await page.reload();
    await page.waitForSelector(`.model:has-text("${MODEL}")`);
});

pageTest("a connection that breaks: what came is kept, the page finds the server again", async (page) => {
    server.answer = () => ({ text: "one two three four", cut: 2, delay: 60 });
    await ask(page, "x");
    assert.match(await lastAnswer(page).innerText(), /one two[\s\S]*connection was lost/);
    server.answer = answers(" three four");
    await page.getByRole("button", { name: "Continue" }).first().click();
    await answered(page);
    assert.equal(await text(page), "one two three four");

    await server.stop();
    await ask(page, "y");
    assert.match(await lastAnswer(page).innerText(), /does not answer[\s\S]*puna serve/);
    await page.waitForSelector(".banner:has-text('No connection')");
    await server.again();
    await page.waitForSelector(".banner", { state: "detached", timeout: 15_000 });
    server.answer = answers("back");
    await page.getByRole("button", { name: "Try again" }).click();
    await answered(page);
    assert.equal(await text(page), "back");
});

pageTest("a server that is loading is waited for", async (page) => {
    server.loading = true;
    await page.reload();
    await page.waitForSelector(".banner:has-text('loading its model')");
    server.loading = false;
    await page.waitForSelector(".banner", { state: "detached", timeout: 15_000 });
    await page.waitForSelector(`.model:has-text("${MODEL}")`);
});

/* ---- hostile models ---- */

/* Waits as long as handlers of broken pictures and the like need, and points at everything. */
async function provoke(page) {
    await page.evaluate(async () => {
        for (const element of document.querySelectorAll("article.assistant .markdown *, #box *")) {
            for (const type of ["mouseover", "mouseenter", "focus", "toggle", "pointerover"]) {
                element.dispatchEvent(new Event(type, { bubbles: true }));
            }
        }
        await new Promise((resolve) => setTimeout(resolve, 150));
    });
}

const dangerous = (root) => [...root.querySelectorAll("*")].flatMap((element) => {
    const bad = /^(script|iframe|object|embed|base|meta|link|style|form|input|select|textarea|svg|video|audio|template)$/i
        .test(element.localName) ? [element.localName] : [];
    for (const { name, value } of element.attributes) {
        if (/^on|^style$|^id$|^name$|^srcdoc$|^action$|^formaction$/i.test(name)) bad.push(`${element.localName} ${name}`);
        if (/^(href|src|xlink:href)$/i.test(name) && !/^(https?:|mailto:|data:image\/(png|jpeg|gif|webp);)/i.test(value)) {
            bad.push(`${name}=${value}`);
        }
    }
    return bad;
});

pageTest(`hostile answers: ${vectors.length} ways to run a script do not`, async (page) => {
    await page.evaluate(() => {
        window.runs = [];
        window.ran = (what) => window.runs.push(what);
    });
    const groups = Array.from({ length: 6 }, (_, i) => vectors.filter((_, at) => at % 6 === i).join("\n\nnext\n\n"));
    for (const group of [vectors.join("\n\nnext\n\n"), ...groups]) {
        server.answer = () => ({ pieces: [group], reasoning: group });
        await page.keyboard.press("Control+Shift+O");
        await ask(page, "attack");
        await page.locator(".fold").last().click();
        await page.waitForSelector(".reasoning-text");
        assert.deepEqual(await page.evaluate(`[...document.querySelectorAll("article.assistant .markdown")].flatMap(${dangerous})`), []);
        await provoke(page);
    }
    assert.deepEqual(await page.evaluate(() => window.runs), []);
    assert.equal(await page.locator("#composer").count(), 1);
});

pageTest("hostile answers: one by one without the page's policy, by the renderer, and by DOMPurify alone", async (page) => {
    const code = await bundle("markdown.ts", { format: "iife", globalName: "markdown" });
    const bare = await page.context().newPage();
    const ran = [];
    await bare.exposeFunction("ran", (what) => ran.push(what));
    await bare.route("**/*", (route) => (route.request().url().includes("evil") ? (ran.push(route.request().url()), route.abort())
        : route.fulfill({ contentType: "text/html", body: "<div id=box></div>" })));
    await bare.goto("http://bare.invalid/");
    await bare.addScriptTag({ content: code });
    const bad = await bare.evaluate(([all, check]) => {
        const found = [], look = (0, eval)(`(${check})`);
        for (const vector of all) {
            const rendered = new markdown.BlockList().update(vector, true).map((block) => String(block.html)).join("");
            for (const html of [rendered, String(markdown.sanitize(vector))]) {
                const box = document.createElement("div");
                document.getElementById("box").append(box);
                box.innerHTML = html;
                found.push(...look(box).map((what) => `${what} of ${vector}`));
            }
        }
        return found;
    }, [vectors, String(dangerous)]);
    assert.deepEqual(bad, []);
    await provoke(bare);
    assert.deepEqual(ran, []);
});

pageTest("hostile answers: long and deep ones do not hang the page", async (page) => {
    const pieces = ["[".repeat(20_000), "> ".repeat(3000), "*".repeat(20_000), "- ".repeat(2000), "`".repeat(20_000),
                    "$a ".repeat(5000), "\\(".repeat(5000), "| a ".repeat(3000) + "\n" + "|--".repeat(3000), "<".repeat(20_000),
                    "![](".repeat(5000), "$" + "{".repeat(2000) + "$", "**a _b ".repeat(3000), "a".repeat(250_000)];
    for (const piece of pieces) {
        server.answer = () => ({ pieces: [piece] });
        await page.keyboard.press("Control+Shift+O");
        const began = performance.now();
        await say(page, "x");
        await answered(page);
        await page.evaluate(() => 1);
        assert.ok(performance.now() - began < 6000, `${piece.slice(0, 10)} took ${Math.round(performance.now() - began)} ms`);
    }
});

/* ---- for everybody ---- */

const SHOW = "Text with `code`, **bold**, [link](https://example.org).\n\n# Head\n\n1. one\n2. two\n\n- [x] done\n\n| a | b |\n|--|--|\n| 1 | 2 |\n\n" +
    "```python\n# comment\ndef f(n: int) -> str:\n    return f'{n}' + \"x\"\n```\n\n```diff\n-old\n+new\n```\n\n$$\\int_0^1 x\\,dx$$\n\n> quote";

async function violations(page, where) {
    await page.evaluate(axe);
    const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const serious = found.filter((one) => ["serious", "critical"].includes(one.impact))
        .map((one) => `${where}: ${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
    assert.deepEqual(serious, []);
}

async function picture(page, name) {
    if (process.env.PUNA_SCREENSHOTS) await page.screenshot({ path: join(process.env.PUNA_SCREENSHOTS, `${name}.png`) });
}

for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of [["desktop", { width: 1100, height: 800 }], ["phone", { width: 360, height: 740 }]]) {
        pageTest(`axe finds nothing serious: ${colorScheme}, ${size}`, async (page) => {
            const name = `${colorScheme}-${size}`;
            const check = async (what) => {
                await picture(page, `${name}-${what}`);
                await violations(page, what);
                const [width, wanted] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
                assert.ok(width <= wanted, `${what}: ${width} px wide`);
                const box = await page.evaluate(() => { const b = document.querySelector(".scroll"); return b.scrollWidth - b.clientWidth; });
                assert.ok(box <= 0, `${what}: messages ${box} px too wide`);
            };
            assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
            await check("welcome");
            await page.getByLabel("Settings").click();
            await page.getByLabel(/token probabilities/).check();
            await page.getByLabel("JSON by a schema").check();
            await check("settings");
            await page.getByLabel("Text", { exact: true }).check();
            await page.getByRole("button", { name: "Done" }).click();
            server.answer = () => ({ text: SHOW, reasoning: "Hm.", probabilities: true });
            await ask(page, "Show `everything` " + "averyveryverylongwordwithoutanyspace".repeat(3));
            await action(page, "Another answer").click();
            await answered(page);
            await lastAnswer(page).locator(".fold").click();
            await check("answer");
            await action(page, "Token probabilities").click();
            await check("probabilities");
            server.answer = () => ({ status: 500, error: { message: "boom" } });
            await ask(page, "fail");
            await page.getByLabel("Edit the message").last().click();
            await check("error");
            await page.keyboard.press("Escape");
            if (size === "phone") await page.getByLabel("Show the list (Ctrl+B)").click();
            await page.locator(".conversation .menu-button").first().click();
            await check("menu");
            await page.getByRole("menuitem", { name: "Delete" }).click();
            await page.waitForSelector(".toast");
            await check("toast");
            await page.keyboard.press("Control+k");
            await page.waitForFunction(() => document.activeElement.id === "search");
            await page.keyboard.type("none such");
            await check("search");
        }, { viewport, colorScheme });
    }
}

pageTest("the colours: as the system, and as chosen", async (page) => {
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "light");
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await theme(), "dark");
    await page.getByLabel(/^Colours/).click();
    assert.equal(await theme(), "light");
    await page.reload();
    await page.waitForSelector("#composer");
    assert.equal(await theme(), "light");
});

pageTest("reduced motion: nothing moves", async (page) => {
    server.answer = () => ({ hang: true });
    await say(page, "x");
    await page.waitForSelector(".dots i");
    const names = await page.evaluate(() => document.getAnimations().length);
    assert.equal(names, 0);
}, { reducedMotion: "reduce" });

pageTest("without a mouse: ask, read, branch, edit, rename, delete, settings", async (page) => {
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText ?? "");
    /* Tab until what has the focus has this name */
    const tabTo = async (name, key = "Tab") => {
        for (let i = 0; i < 60; i++) {
            if (name.test(await focused())) return;
            await page.keyboard.press(key);
        }
        assert.fail(`no way to ${name}; last at ${await focused()}`);
    };
    server.answer = answers("First answer.", "Second answer.", "Third answer.");
    await page.keyboard.type("Hello");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("you");
    await page.keyboard.press("Enter");
    await page.waitForSelector("article.assistant .stats");
    await answered(page);
    assert.equal(messagesSent()[0].content, "Hello\nyou");
    await tabTo(/^Another answer$/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=Second answer.");
    await answered(page);
    await tabTo(/^Previous branch$/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=First answer.");
    await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Next branch");
    await tabTo(/^Edit the message$/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.tagName === "TEXTAREA" && document.activeElement.id !== "composer");
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Edit the message");
    await page.keyboard.press("Enter");
    await page.keyboard.type(" there");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=Third answer.");
    await answered(page);
    assert.match(messagesSent()[0].content, / there$/);
    await page.keyboard.press("/");
    await page.waitForFunction(() => document.activeElement.id === "composer");

    await tabTo(/^Settings$/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog");
    for (let i = 0; i < 40; i++) {
        await page.keyboard.press("Tab");
        assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog")),
                  "the focus stays in the dialog");
    }
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Settings");

    await page.keyboard.press("Control+k");
    await page.waitForFunction(() => document.activeElement.id === "search");
    await tabTo(/^More for/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[role=menu]");
    await page.keyboard.press("Escape");
    assert.match(await focused(), /^More for/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[role=menu]");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".rename:focus");
    await page.keyboard.type("By keyboard");
    await page.keyboard.press("Enter");
    await page.waitForSelector("h1:has-text('By keyboard')");
    await tabTo(/^More for/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("[role=menu]");
    await page.keyboard.press("ArrowUp");
    assert.match(await focused(), /Delete/);
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=Deleted");
    await tabTo(/^Undo$/);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".conversation");
    await page.keyboard.press("Control+b");
    assert.equal(await page.locator("nav").count(), 0);
    await page.keyboard.press("Control+b");
    assert.equal(await page.locator("nav").count(), 1);
});

pageTest("screen readers hear sentences, not tokens", async (page) => {
    await page.evaluate(() => {
        window.heard = [];
        new MutationObserver(() => window.heard.push(document.querySelector("#speaker").textContent))
            .observe(document.querySelector("#speaker"), { childList: true, characterData: true, subtree: true });
    });
    server.answer = () => ({ text: "The first **sentence** is here. A second one follows it. And `a` third, without end", delay: 90 });
    await ask(page, "x");
    await page.waitForFunction(() => window.heard.join(" ").includes("without end"));
    const heard = (await page.evaluate(() => window.heard)).filter((one) => one !== "");
    assert.equal(heard.join(" ").replace(/\s+/g, " "), "The first sentence is here. A second one follows it. And a third, without end");
    assert.ok(heard.length <= 4, JSON.stringify(heard));
    assert.equal(await page.getAttribute("#speaker", "aria-live"), "polite");
});

pageTest("the view follows the answer until the reader scrolls up", async (page) => {
    server.answer = () => ({ text: "A line of text.\n\n".repeat(120), delay: 6 });
    await say(page, "long");
    const rest = () => page.evaluate(() => { const b = document.querySelector(".scroll"); return b.scrollHeight - b.scrollTop - b.clientHeight; });
    await page.waitForFunction(() => document.querySelector(".scroll").scrollHeight > 1500);
    assert.ok(await rest() < 60);
    await page.mouse.move(600, 300);
    await page.mouse.wheel(0, -600);
    await page.waitForSelector(".to-end");
    await page.waitForTimeout(300);
    assert.ok(await rest() > 300);
    await page.click(".to-end");
    await answered(page);
    await page.waitForTimeout(100);
    assert.ok(await rest() < 60);
});

test("the page: under 250 kB gzipped, its policy names only itself", () => {
    const { csp, gzip } = JSON.parse(readFileSync(join(built, "page.json")));
    assert.ok(gzip < 250_000, `${gzip} bytes`);
    assert.ok(!/unsafe|\*|https?:/.test(csp), csp);
    const html = readFileSync(join(built, "page.html"), "utf8");
    assert.equal((html.match(/<script\b[^>]*>/g) ?? []).filter((tag) => tag.includes("src")).length, 0);
});
