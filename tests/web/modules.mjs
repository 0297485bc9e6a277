/* modules.mjs: the modules of the page for tests without a browser, and the folder where the page was built. */
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const built = resolve(process.env.PUNA_WEB_BUILD ?? join(root, "build/release/web"));

/* The code of web/src/<name>, with all that it imports, in one of esbuild's formats. */
export async function bundle(name, options) {
    const { build } = createRequire(join(built, "package.json"))("esbuild");
    const result = await build({ entryPoints: [join(root, "web/src", name)], bundle: true, write: false,
                                 nodePaths: [join(built, "node_modules")], jsx: "automatic",
                                 jsxImportSource: "preact", ...options });
    return result.outputFiles[0].text;
}

export async function load(name) {
    const code = await bundle(name, { format: "esm", platform: "neutral", mainFields: ["module", "main"] });
    return import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);
}

