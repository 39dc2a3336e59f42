// What leaves the explorer: lines of code, the paragraph, a notebook, the picture, a link.
// Files are made in the page and saved by the browser; the table is in one only when asked for.

import { saveFile } from "./save.js";
import { setText } from "./text.js";

const QUIET_MS = 300; // a handle that is held asks for no report
const PNG_SCALE = 2;

export class Leave {
  constructor(page) {
    this.page = page;
    this.asked = 0;
    const on = (name, act) => page.on(name, "click", () => this.doing(name, act));
    on("save-notebook", () => this.notebook());
    on("save-svg", () => this.svg());
    on("save-png", () => this.png());
    on("copy-link", () => this.link());
  }

  part(name) {
    return this.page.part(name);
  }

  clear() {
    this.asked += 1;
    this.key = null;
    this.part("leave").hidden = true;
    for (const name of ["code-out", "lme4-out", "report"]) setText(this.part(name), "");
  }

  /** Show code and report of a state, once it stands still. */
  show(state) {
    const { pooling: _, ...asked } = state; // the handle changes no fit
    const key = JSON.stringify(asked);
    if (key === this.key) return;
    this.key = key;
    this.asked += 1;
    const number = this.asked;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const said = await this.page.ask("leave", JSON.stringify(state)).catch((error) => this.failed(error));
      if (number !== this.asked || !said) return;
      const { code, lme4, report } = JSON.parse(said);
      this.part("leave").hidden = false;
      setText(this.part("code-out"), code);
      setText(this.part("lme4-out"), lme4);
      setText(this.part("report"), report);
    }, QUIET_MS);
  }

  async doing(name, act) {
    const button = this.part(name);
    button.disabled = true;
    try {
      setText(this.part("left"), (await act()) ?? "Saved.");
    } catch (error) {
      this.failed(error);
    } finally {
      button.disabled = false;
    }
  }

  failed(error) {
    setText(this.part("left"), `This did not work: ${error.message}`);
  }

  get name() {
    return this.page.told.name.replace(/\.\w+$/, "").replace(/[^\w-]+/g, "-") || "table";
  }

  get state() {
    return JSON.stringify(this.page.state);
  }

  async notebook() {
    const text = await this.page.ask("notebook", this.state, this.part("with-data").checked);
    saveFile(new Blob([text], { type: "application/x-ipynb+json" }), `${this.name}.ipynb`);
  }

  picture() {
    return this.page.ask("picture", this.state, this.page.lab.dataset.stage);
  }

  async svg() {
    saveFile(new Blob([await this.picture()], { type: "image/svg+xml" }), `${this.name}.svg`);
  }

  async png() {
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(await this.picture())}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = PNG_SCALE * image.naturalWidth;
    canvas.height = PNG_SCALE * image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    saveFile(blob, `${this.name}.png`);
  }

  /** The lab's own button knows the link. */
  async link() {
    this.page.lab.querySelector("[data-ml=share]").click();
    return "Link copied.";
  }
}
