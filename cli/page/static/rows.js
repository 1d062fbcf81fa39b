// The rows that were rejected or refused: a page of them at a time, and all of them as a file.

import { ask, fill, find, said, show, titledRow, two } from "./base.js";

const NO_SERVER = said("No connection to the page's server.");

export class Rows {
  #run = null;
  #words = null;
  #after = "";

  constructor() {
    find("show-rows").addEventListener("click", () => this.#further());
  }

  /** Forget the rows of another run, or in another language. */
  clear() {
    this.#after = "";
    find("rows").tBodies[0].replaceChildren();
    show(find("rows"), false);
    fill({ "rows-trouble": null });
  }

  show(run, { can_list: canList }, isHeard, words) {
    if (words !== this.#words) this.clear();
    [this.#run, this.#words] = [run, words];
    show(find("rejected-rows"), Boolean(canList) && (isHeard || !find("rows").hidden));
    const further = words.text(this.#after ? said("Show further rows") : said("Show the rows"));
    fill({ "show-rows": this.#after === null ? null : further });
    find("rows-file").href = `/api/runs/${encodeURIComponent(run)}/rejected.csv?lang=${words.language}`;
  }

  async #further() {
    const [run, words, after] = [this.#run, this.#words, this.#after];
    let [found, trouble] = [null, null];
    try {
      found = await ask(`/api/runs/${encodeURIComponent(run)}/rejected?after=${after}&lang=${words.language}`);
    } catch (error) {
      trouble = error instanceof TypeError ? words.text(NO_SERVER) : error.message;
    }
    // Another run or language is shown by now, or these rows are.
    if (run !== this.#run || words !== this.#words || after !== this.#after) return;
    fill({ "rows-trouble": trouble });
    if (found === null) return;
    const rows = found.rows.map((row) => this.#row(row));
    find("rows").tBodies[0].append(...rows);
    show(find("rows"), true);
    this.#after = found.after;
    this.show(run, { can_list: true }, true, words);
    // The focus goes on with the rows: the button may be gone.
    rows[0]?.focus();
  }

  #row({ line, number, label, amount, outcome, reason }) {
    const words = this.#words;
    const place = line !== null ? words.text("line {line}", { line }) : number !== null ? words.text("row {number}", { number }) : "";
    const cells = {
      "Line": ["figure", place || "–"],
      "Contract": ["", label || "–"],
      "Amount": ["number figure", amount === null ? "–" : words.money(amount)],
      "Reason": ["", ...two(reason || outcome, reason ? outcome : "")],
    };
    const row = titledRow(cells, words);
    row.tabIndex = -1;
    return row;
  }
}
