// Parses every mermaid block of a Markdown file with mermaid itself and prints what kind of chart each is.
// Usage: node parse.mjs FOLDER REPORT, where FOLDER/node_modules holds mermaid and jsdom.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, report] = process.argv.slice(2);
const installed = createRequire(pathToFileURL(`${folder}/`));
const load = (name) => import(pathToFileURL(installed.resolve(name)));
const { JSDOM } = await load("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = window.document;
const { default: mermaid } = await load("mermaid");
for (const [, block] of readFileSync(report, "utf8").matchAll(/^```mermaid\n([\s\S]*?)^```$/gm)) {
  console.log((await mermaid.parse(block)).diagramType);
}
