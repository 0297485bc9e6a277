/* serve.test.mjs: the page as puna serve hands it out, with a real model: the first answer, the one after it, a schema,
 * probabilities, stop and continue. Needs PUNA_BIN and PUNA_TEST_MODEL. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { answered, lastAnswer, openPage, say, startBrowser } from "./browser.mjs";
import { built } from "./modules.mjs";

const { PUNA_BIN, PUNA_TEST_MODEL } = process.env;
const skip = !PUNA_BIN || !PUNA_TEST_MODEL ? "PUNA_BIN and PUNA_TEST_MODEL are not set" : false;

async function startPuna(folder) {
    const portFile = join(folder, "port");
    const args = ["serve", "-m", PUNA_TEST_MODEL, "--port", "0", "--port-file", portFile, "-c", "1024"];
    const child = spawn(PUNA_BIN, args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (text) => (said += text));
    const ended = new Promise((resolve) => child.on("exit", resolve));
    for (let i = 0; i < 300 && !(existsSync(portFile) && readFileSync(portFile, "utf8").trim()); i++) {
        assert.equal(child.exitCode, null, said);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return {
        url: `http://127.0.0.1:${readFileSync(portFile, "utf8").trim().match(/\d+$/)[0]}/`,
        async stop() {
            child.kill("SIGTERM");
            await ended;
        },
    };
}

test("the page on puna serve", { skip, timeout: 120_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "puna-serve-"));
    const puna = await startPuna(folder);
    const { browser, stop } = await startBrowser();
    try {
        const { csp, etag } = JSON.parse(readFileSync(join(built, "page.json")));
        const head = await fetch(puna.url, { headers: { "Accept-Encoding": "gzip" } });
        assert.equal(head.headers.get("content-security-policy"), csp);
        assert.equal(head.headers.get("etag"), etag);
        assert.equal(await head.text(), readFileSync(join(built, "page.html"), "utf8"));
        assert.equal((await fetch(puna.url, { headers: { "If-None-Match": etag } })).status, 304);

        const page = await openPage(browser, puna.url);
        page.context().setDefaultTimeout(60_000);
        const stats = () => lastAnswer(page).locator(".stats").innerText();
        await page.getByLabel("Settings").click();
        await page.getByLabel("Temperature").fill("0");
        await page.getByLabel("Length limit").fill("24");
        await page.getByLabel(/token probabilities/).check();
        await page.getByRole("button", { name: "Done" }).click();
        const question = "What is the capital of France?";
        const wanted = execFileSync(PUNA_BIN, ["chat", "-m", PUNA_TEST_MODEL, "--temp", "0", "-n", "24", "-c", "1024", "-p", question],
                                    { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
        await say(page, question);
        await answered(page);
        assert.ok(wanted.length > 10);
        assert.equal(await lastAnswer(page).locator(".markdown").innerText(), wanted, "as puna chat answers");
        assert.match(await stats(), /tokens\/s[\s\S]*first token after[\s\S]*prompt \d+/);
        assert.match(await page.getByRole("meter").getAttribute("aria-valuetext"), /of 1,024 tokens/);
        await lastAnswer(page).getByLabel("Token probabilities").click();
        const tokens = await lastAnswer(page).locator(".tokens .token").allTextContents();
        assert.equal(tokens.join("").trim(), wanted);
        assert.match(await lastAnswer(page).locator(".alternatives").innerText(), /%[\s\S]*%/);

        await say(page, "And of Italy?");
        await answered(page);
        assert.match(await stats(), /\d+ cached/, "the conversation so far is not computed again");

        await page.getByLabel("Settings").click();
        await page.getByLabel("JSON by a schema").check();
        await page.getByLabel("JSON schema", { exact: false }).last()
            .fill('{"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}}, "required": ["n"], "additionalProperties": false}');
        await page.getByRole("button", { name: "Done" }).click();
        await say(page, "A number, please");
        await answered(page);
        assert.match(await lastAnswer(page).locator("code").innerText(), /^\{\s*"n": -?\d+\s*\}$/);

        await page.keyboard.press("Control+Shift+O");
        await page.getByLabel("Settings").click();
        await page.getByRole("button", { name: "All conversations" }).click();
        await page.getByLabel("Temperature").fill("0");
        await page.getByRole("button", { name: "Done" }).click();
        await say(page, "Write a long story about a dragon.");
        await page.waitForFunction(() => (document.querySelector("article.assistant .markdown")?.innerText.length ?? 0) > 30);
        await page.keyboard.press("Escape");
        await answered(page);
        const before = await lastAnswer(page).locator(".markdown").innerText();
        await page.getByRole("button", { name: "Continue" }).first().click();
        await page.waitForFunction((length) => document.querySelector("article.assistant .markdown").innerText.length > length + 10, before.length);
        await page.keyboard.press("Escape");
        await answered(page);
        const after = await lastAnswer(page).locator(".markdown").innerText();
        assert.ok(after.startsWith(before.slice(0, 20)), "the answer goes on in the same message");
        assert.equal(await page.locator("article.assistant").count(), 1);
        assert.equal((await (await fetch(new URL("props", puna.url))).json()).total_slots > 0, true);

        await say(page, "word ".repeat(1500));
        await answered(page);
        assert.match(await lastAnswer(page).innerText(), /no longer fits/);
        assert.deepEqual(page.bad, []);
    } finally {
        await stop();
        await puna.stop();
        rmSync(folder, { recursive: true, force: true });
    }
});
