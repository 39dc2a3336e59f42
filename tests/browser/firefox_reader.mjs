// Firefox at the hand of a test: reads one JSON request a line, {does, with: [...]}, answers with one
// line, {value} or {failed}.
//
//   node firefox_reader.mjs DRIVER_FOLDER FIREFOX

import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [driver, executablePath] = process.argv.slice(2);
const resolve = createRequire(path.join(driver, "package.json")).resolve;
const { launch } = await import(pathToFileURL(resolve("puppeteer-core")));
const browser = await launch({ browser: "firefox", executablePath, headless: true });
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 900 });
const asked = new Set();
const errors = [];
page.on("request", (request) => asked.add(new URL(request.url()).origin));
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("dialog", (dialog) => dialog.accept());

const actions = {
  open: (address) => page.goto(address).then(() => null),
  reload: () => page.reload().then(() => null),
  js: (script) => page.evaluate(script),
  click: (selector) => page.click(selector),
  type: (text) => page.keyboard.type(text),
  async press(...keys) {
    for (const key of keys) await page.keyboard.down(key);
    for (const key of keys.reverse()) await page.keyboard.up(key);
  },
  origins: () => [...asked],
  errors: () => errors,
};

try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { does, with: given } = JSON.parse(line);
    const answer = await Promise.resolve(actions[does](...given)).then(
      (value) => ({ value: value ?? null }), (error) => ({ failed: String(error) }),
    );
    console.log(JSON.stringify(answer));
  }
} finally {
  await browser.close();
}
