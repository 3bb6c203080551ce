"use strict";
// Tokens with a value each: coloured, and read by hand, by keys or as numbers.

const STEPS = 8;
const told = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : value.toFixed(2)).replace("-", "\u2212");

/** The 98th percentile of the distances from the middle: a few outliers must not bleach the rest. */
function scaleOf(values, zero) {
  const far = values.map((value) => Math.abs(value - zero)).sort((a, b) => a - b);
  return far[Math.min(far.length - 1, Math.floor(0.98 * far.length))] || 1;
}

function shade(value, zero, top) {
  const step = Math.min(STEPS, Math.round((Math.abs(value - zero) / top) * STEPS));
  return step ? `${value > zero ? "p" : "n"}${step}` : "";
}

/** Write tokens into a paragraph; arrow keys and clicks tell their values to the readout. */
function paint(node, words, values, { zero, top, thought = 0, own = -1, readout, label }) {
  const spans = words.map((word, at) => {
    const span = make("span", shade(values[at], zero, top), word);
    if (at < thought) span.classList.add("prompt");
    if (at === own) span.classList.add("own");
    span.title = span.dataset.value = told(values[at]);
    return span;
  });
  node.replaceChildren(...spans);
  node.classList.add("tokens");
  node.tabIndex = 0;
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", `${label}: ${words.length} tokens with their values, by arrow keys`);
  let now = -1;
  const choose = (at) => {
    spans[now]?.classList.remove("at");
    now = Math.min(spans.length - 1, Math.max(0, at));
    spans[now].classList.add("at");
    readout.textContent = `${words[now].trim() || JSON.stringify(words[now])}: ${told(values[now])} (token ${now + 1} of ${words.length})`;
  };
  node.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey || !spans.length) return;
    event.preventDefault();
    event.stopPropagation();
    choose(now + step);
  };
  node.onclick = (event) => {
    const at = spans.indexOf(event.target);
    if (at >= 0) choose(at);
  };
}

function legend(node, zero, top, name, signed = true) {
  const steps = [...Array(2 * STEPS + 1).keys()].map((step) => step - STEPS).filter((step) => step && (signed || step > 0));
  node.querySelector("[data-low]").textContent = told(signed ? zero - top : zero);
  node.querySelector("[data-high]").textContent = told(zero + top);
  node.querySelector("[data-zero]").textContent = name;
  node.querySelector(".ramp").replaceChildren(...steps.map((step) => make("i", `${step > 0 ? "p" : "n"}${Math.abs(step)}`)));
}

/** The controls of an answer's page. */
class Colours {
  constructor(form) {
    this.form = form;
    this.held = form.elements;
    this.legend = document.getElementById("legend");
    this.state = document.getElementById("looking");
    this.nodes = new Map([...document.querySelectorAll(".answer[data-place]")].map((node) => [Number(node.dataset.place), node]));
    this.texts = new Map([...this.nodes].map(([place, node]) => [place, node.textContent]));
    this.turn = 0;
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => this.changed(event.target.name));
    this.begin();
  }

  /** What the address asks for, or what was chosen at the answer before. */
  begin() {
    const asked = new URLSearchParams(location.search);
    const kept = asked.has("by") ? asked : new URLSearchParams(sessionStorage.getItem("look") || "");
    const value = `${kept.get("by")}:${kept.get("of")}`;
    if (![...this.held.look.options].some((one) => one.value === value)) return;
    this.held.look.value = value;
    this.layers();
    for (const name of ["layer", "latent", "read"]) if (kept.get(name)) this.held[name].value = kept.get(name);
    if (kept.get("column")) this.held.column.replaceChildren(new Option(kept.get("column")));
    this.held.numbers.checked = kept.get("numbers") === "on";
    this.read();
  }

  layers() {
    const { layers = "", layer } = this.held.look.selectedOptions[0].dataset;
    this.held.layer.replaceChildren(...layers.split(",").map((one) => new Option(one, one, one === layer, one === layer)));
  }

  get query() {
    const [by, ...rest] = this.held.look.value.split(":");
    const held = new URLSearchParams({ by, of: rest.join(":") });
    if (by === "direction") held.set("layer", this.held.layer.value);
    if (by === "scalar" && this.held.column.value) held.set("column", this.held.column.value);
    if (by === "latent") held.set("latent", this.held.latent.value);
    if (by !== "scalar" && this.held.read.value) held.set("read", this.held.read.value);
    return held;
  }

  changed(name) {
    if (name === "look") {
      this.layers();
      this.held.column.replaceChildren();
    }
    if (name === "zero" || name === "numbers") this.show();
    else this.read();
  }

  keep() {
    const held = this.held.look.value ? this.query : new URLSearchParams();
    if (this.held.numbers.checked) held.set("numbers", "on");
    sessionStorage.setItem("look", held.toString());
  }

  async read() {
    const turn = ++this.turn;
    const by = this.held.look.value.split(":")[0];
    for (const one of this.form.querySelectorAll("[data-for]")) one.hidden = !by || !one.dataset.for.split(" ").includes(by);
    this.keep();
    this.found = undefined;
    if (!by) {
      this.state.textContent = "";
      return this.show();
    }
    this.state.textContent = "reading the tokens …";
    const { run, set, at } = this.form.dataset;
    try {
      const found = await ask(`/api/colours?${new URLSearchParams({ run, set, at })}&${this.query}`);
      if (turn !== this.turn) return;
      this.found = found;
      this.state.textContent = found.notes.join("; ");
      const zero = this.held.zero.value;
      this.held.zero.replaceChildren(...Object.entries(found.zeros).map(([name, value]) => new Option(`${name} (${told(value)})`, name)));
      if (zero in found.zeros) this.held.zero.value = zero;
      const column = this.held.column.value;
      this.held.column.replaceChildren(...found.columns.map((name) => new Option(name)));
      if (found.columns.includes(column)) this.held.column.value = column;
    } catch (error) {
      if (turn === this.turn) this.state.textContent = error.message;
    }
    if (turn === this.turn) this.show();
  }

  show() {
    this.keep();
    const found = this.found;
    this.legend.hidden = !found;
    document.body.classList.toggle("numbers", !!found && this.held.numbers.checked);
    for (const [place, node] of this.nodes) {
      if (node.classList.contains("tokens")) {
        node.textContent = this.texts.get(place);
        node.classList.remove("tokens");
        for (const name of ["tabindex", "role", "aria-label"]) node.removeAttribute(name);
        node.onkeydown = node.onclick = null;
      }
    }
    if (!found) return;
    const name = this.held.zero.value || Object.keys(found.zeros)[0];
    const zero = found.zeros[name];
    const top = scaleOf(found.answers.flatMap((one) => one.values), zero);
    const readout = this.legend.querySelector(".readout");
    readout.textContent = "";
    const by = this.held.look.value.split(":")[0];
    legend(this.legend, zero, top, `middle: ${told(zero)}, ${name}`, by !== "latent");
    this.legend.querySelector("[data-what]").textContent = `${found.what}, read in ${[...new Set(found.answers.map((one) => one.read))].join(" and ")}.`;
    const more = this.legend.querySelector("[data-more]");
    more.hidden = by === "scalar";
    more.href = `/direction?run=${this.form.dataset.run}&${this.query}`;
    for (const one of found.answers) {
      const node = this.nodes.get(one.place);
      if (node) paint(node, one.words, one.values, { zero, top, thought: one.thought, readout, label: "answer" });
    }
  }
}

/** A page of a direction or a latent: three parts, each asked for by itself. */
class About {
  constructor(root) {
    this.root = root;
    for (const name of ["neighbours", "promoted", "contexts"]) this.part(name);
  }

  async part(name) {
    const { query, set } = this.root.dataset;
    const node = this.root.querySelector(`[data-part=${name}]`);
    if (name === "contexts" && !set) return;
    try {
      const found = await ask(`/api/${name}?${query}${name === "contexts" ? `&set=${encodeURIComponent(set)}` : ""}`);
      node.replaceChildren(...this[name](found));
    } catch (error) {
      node.replaceChildren(make("p", "note warn", error.message));
    }
  }

  promoted(found) {
    const lists = [["likelier", found.promoted], ["less likely", found.suppressed]].map(([title, words]) => {
      const part = make("div", "ends");
      const list = make("ul", "words");
      for (const { word, score } of words) {
        const item = make("li", Math.abs(score) > found.chance ? "beyond" : "");
        const text = make("span", "word", word.trim() || JSON.stringify(word));
        text.dir = "auto";
        item.append(text, make("small", "", ` ${told(score)}`));
        list.append(item);
      }
      part.append(make("h3", "", title), list);
      return part;
    });
    const note = make("p", "told", `Bold: beyond ${told(found.chance)}, which the largest score of a random vector stays below in 95 of 100 draws.`);
    const both = make("div", "both");
    both.append(...lists);
    return [both, note];
  }

  neighbours(found) {
    if (!found.near.length) return [make("p", "told", "Nothing else lies at this layer.")];
    const rows = found.near.map((one) => {
      const row = make("tr", Math.abs(one.cosine) > found.chance ? "" : "weak");
      const query = new URLSearchParams({ run: this.root.dataset.run, by: one.by, of: one.of });
      query.set(one.by === "latent" ? "latent" : "layer", one.by === "latent" ? one.latent : one.layer);
      const link = make("a", "", one.by === "latent" ? `latent ${one.latent} of ${one.of}` : one.of);
      link.href = `/direction?${query}`;
      const name = make("th");
      name.scope = "row";
      name.append(link);
      row.append(name, make("td", "num", told(one.cosine)));
      return row;
    });
    const table = make("table", "near");
    const head = make("tr");
    for (const [text, kind] of [["like it", ""], ["cosine", "num"]]) {
      const cell = make("th", kind, text);
      cell.scope = "col";
      head.append(cell);
    }
    const [top, body] = [make("thead"), make("tbody")];
    top.append(head);
    body.append(...rows);
    table.append(top, body);
    const note = `The nearest of ${found.compared.toLocaleString("en")}. Slanted: below ${told(found.chance)}, as 95 of 100 random vectors are.`;
    return [table, make("p", "told", note)];
  }

  contexts(found) {
    const shown = [...found.high, ...found.low];
    const latent = this.root.dataset.query.includes("by=latent");
    const read = `${found.answers.toLocaleString("en")} of ${found.of.toLocaleString("en")} answers read, ${found.tokens.toLocaleString("en")} tokens`;
    const fires = latent ? `; it fires in ${found.fires.toLocaleString("en")} of them` : "";
    const nodes = [make("p", "told", `${read}${fires}.`)];
    if (!shown.length) return nodes;
    const zero = found.middle;
    const top = scaleOf(shown.flatMap((one) => one.values), zero);
    const bar = make("div", "legend");
    for (const name of ["low", "ramp", "high", "zero"]) {
      const part = make("span", name === "ramp" ? "ramp" : "");
      if (name !== "ramp") part.setAttribute(`data-${name}`, "");
      bar.append(part);
    }
    const readout = make("output", "readout");
    readout.setAttribute("aria-live", "polite");
    bar.append(readout);
    legend(bar, zero, top, latent ? "faint: silent" : `middle: ${told(zero)}, the median token`, !latent);
    nodes.push(bar);
    for (const [title, end] of [[latent ? "" : "highest", found.high], ["lowest", found.low]]) {
      if (!end.length) continue;
      if (title) nodes.push(make("h3", "", title));
      nodes.push(...end.map((one) => this.context(one, zero, top, readout)));
    }
    return nodes;
  }

  context(one, zero, top, readout) {
    const node = make("article", "context");
    const meta = make("p", "meta");
    const { query, run, set } = this.root.dataset;
    const link = make("a", "", `answer ${one.place}`);
    link.href = `/answers/${run}/${encodeURIComponent(set)}/${one.place}?${query.replace(/^run=\d+&/, "")}`;
    meta.append(make("span", "chip", told(one.values[one.at])), make("span", "chip", one.arm), link);
    const text = make("p", "");
    text.dir = "auto";
    paint(text, one.words, one.values, { zero, top, own: one.at, readout, label: `context in answer ${one.place}` });
    node.append(meta, text);
    return node;
  }
}

if (document.getElementById("look")) new Colours(document.getElementById("look"));
if (document.getElementById("about")) new About(document.getElementById("about"));
