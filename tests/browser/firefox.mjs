// A reader with Firefox: opens a chapter, waits until its lab lives, bets, moves a slider, shows the
// truth and repeats the study. Prints what was seen as JSON.
//
//   node firefox.mjs DRIVER_FOLDER FIREFOX ADDRESS LAB

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [driver, executablePath, address, name] = process.argv.slice(2);
const resolve = createRequire(path.join(driver, "package.json")).resolve;
const { launch } = await import(pathToFileURL(resolve("puppeteer-core")));
const browser = await launch({ browser: "firefox", executablePath, headless: true });
const seen = { errors: [] };
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 720 });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  const started = Date.now();
  await page.goto(address);
  const root = `[data-ml=lab][data-lab="${name}"]`;
  await page.waitForSelector(`${root}[data-phase=ready]`, { timeout: 120_000 });
  seen.live = (Date.now() - started) / 1000;
  const within = (hook) => `${root} [data-ml=${hook}]`;
  const drawn = () => page.evaluate((r) => document.querySelector(r).seen, root);
  await page.evaluate((r) => {
    const lab = document.querySelector(r);
    lab.scrollIntoView({ block: "start", behavior: "instant" });
    lab.addEventListener("ml-drawn", ({ detail }) => (lab.seen = detail.state));
  }, root);
  const inside = (hook) => page.evaluate((where) => {
    const { top, bottom } = document.querySelector(where).getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  }, hook);
  seen.heroInView = await inside(`${root} [data-hero]`);
  seen.controlInView = await inside(`${root} .ml-main [data-ml=control], ${root} [data-ml=new-sample]`);
  const option = await page.$(within("option"));
  if (option) {
    await option.click();
  } else {
    await page.$eval(within("bet"), (el) => el.focus());
    await page.keyboard.press("ArrowUp");
    await page.click(within("bet-done"));
  }
  seen.stage = await page.$eval(root, (lab) => lab.dataset.stage);
  seen.headline = await page.$eval(within("headline"), (el) => el.textContent);
  const truth = await page.$(within("truth"));
  if (truth) {
    await truth.click();
    seen.truth = await truth.evaluate((el) => el.textContent);
  }
  const slider = `${root} .ml-main [data-ml=slider]`;
  await page.focus(slider);
  const atEnd = await page.$eval(slider, (el) => el.value === el.max);
  await page.keyboard.press(atEnd ? "ArrowLeft" : "ArrowRight");
  for (let i = 0; i < 200 && !(await drawn()); i++) await new Promise((done) => setTimeout(done, 50));
  seen.state = await drawn();
  if (await page.$(within("replicate"))) {
    await page.click(`${within("replicate")}[data-count="50"]`);
    await page.waitForFunction(
      (where) => document.querySelector(where).textContent === "50", { timeout: 60_000 }, within("count"),
    );
    seen.replicates = 50;
  }
  if (process.argv[6]) await page.screenshot({ path: process.argv[6] });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
