"use strict";
// Whatever a model wrote reaches the page as text: nothing here makes markup of it, and the page's policy forbids it.

const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};

/** What the server answers, or its own words on why it does not. */
async function ask(address, options) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error(await refusal(answer));
  return answer.json().catch(() => ({}));
}

/** Why a request was refused: the app says it as JSON, and what stands before it in plain words. */
async function refusal(answer) {
  const said = await answer.text().catch(() => "");
  try {
    const told = JSON.parse(said);
    return [told.error || `the app answers ${answer.status}`, told.hint].filter(Boolean).join(": ");
  } catch {
    return said.slice(0, 300) || `the app answers ${answer.status}`;
  }
}

const later = (work, wait) => {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
};

const typing = (event) => /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || event.target.isContentEditable;

/** The list of answers: rows are made for what is in sight alone, and fetched a window at a time. */
class AnswerList {
  constructor(list, form, count) {
    Object.assign(this, { list, form, count, rows: new Map(), asked: new Set(), shown: new Map(), turn: 0 });
    this.window = Number(list.dataset.window);
    this.kinds = Object.fromEntries([...form.elements.kind.options].map((one) => [one.value, one.text]));
    this.space = make("div", "space");
    this.space.setAttribute("role", "presentation");
    list.replaceChildren(this.space);
    this.begin(Number(list.dataset.total));
    list.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()), { passive: true });
    addEventListener("resize", () => this.draw());
    list.addEventListener("keydown", (event) => this.key(event));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", later(() => this.filter(), 160));
    for (const one of form.querySelectorAll("[data-reload]")) {
      one.addEventListener("change", () => location.assign(`/answers?${this.query()}`));
    }
  }

  begin(total) {
    this.total = total;
    this.rows.clear();
    this.asked.clear();
    this.shown.forEach((node) => node.remove());
    this.shown.clear();
    this.nothing?.remove();
    if (!total) this.space.before((this.nothing = make("p", "nothing", "No answer is like that.")));
    this.count.textContent = `${total.toLocaleString("en")} answers`;
    this.draw();
  }

  query() {
    const held = new URLSearchParams();
    for (const [name, value] of new FormData(this.form)) if (value !== "") held.append(name, value);
    return held.toString();
  }

  async filter() {
    const turn = ++this.turn;
    const query = this.query();
    history.replaceState(null, "", `/answers${query ? `?${query}` : ""}`);
    try {
      const found = await ask(`/api/answers?${query}&first=0&count=${this.window}`);
      if (turn !== this.turn) return;
      this.list.scrollTop = 0;
      this.begin(found.total);
      this.take(found);
    } catch (error) {
      this.count.textContent = error.message;
    }
  }

  take(found) {
    found.rows.forEach((row, place) => this.rows.set(found.first + place, row));
    this.shown.forEach((node, place) => {
      if (node.classList.contains("empty") && this.rows.has(place)) this.fill(node, place);
    });
  }

  get height() {
    return parseFloat(getComputedStyle(this.list).getPropertyValue("--row")) || 118;
  }

  draw() {
    const height = this.height;
    this.space.style.height = `${this.total * height}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / height) - 6);
    const last = Math.min(this.total, Math.ceil((this.list.scrollTop + this.list.clientHeight) / height) + 6);
    this.shown.forEach((node, place) => {
      if ((place < first || place >= last) && node !== document.activeElement) {
        node.remove();
        this.shown.delete(place);
      }
    });
    for (let place = first; place < last; place++) {
      let node = this.shown.get(place);
      if (!node) {
        node = make("a", "row empty");
        node.setAttribute("role", "listitem");
        node.setAttribute("aria-setsize", this.total);
        node.setAttribute("aria-posinset", place + 1);
        node.dataset.place = place;
        this.fill(node, place);
        this.shown.set(place, node);
        const after = [...this.shown].filter(([other]) => other > place).sort((a, b) => a[0] - b[0])[0];
        this.space.insertBefore(node, after ? after[1] : null);
      }
      node.style.transform = `translateY(${place * height}px)`;
    }
    for (let from = Math.floor(first / this.window) * this.window; from < last; from += this.window) this.fetch(from);
  }

  fill(node, place) {
    const row = this.rows.get(place);
    if (!row) {
      node.replaceChildren(make("span", "said", "…"));
      return;
    }
    node.classList.remove("empty");
    const query = this.query();
    node.href = row.path + (query ? `?${query}` : "");
    const meta = make("span", "meta");
    meta.append(make("span", `chip ${row.kind}`, this.kinds[row.kind]), make("span", "chip", row.arm));
    if (row.run) meta.append(make("span", "chip run", row.run));
    if (row.label) meta.append(make("span", "chip", row.label));
    meta.append(make("span", "scores", row.scores));
    const question = make("span", "q", row.question);
    const said = make("span", "said", row.answer);
    question.dir = said.dir = "auto";
    node.replaceChildren(meta, question, said);
  }

  async fetch(from) {
    if (from >= this.total || this.asked.has(from) || this.rows.has(from)) return;
    this.asked.add(from);
    const turn = this.turn;
    try {
      const found = await ask(`/api/answers?${this.query()}&first=${from}&count=${this.window}`);
      if (turn === this.turn) this.take(found);
    } catch (error) {
      this.asked.delete(from);
      this.count.textContent = error.message;
    }
  }

  key(event) {
    const steps = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };
    const ends = { Home: 0, End: this.total - 1 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.key in steps || event.key in ends) || !this.total) return;
    event.preventDefault();
    const now = Number(document.activeElement?.dataset?.place ?? -1);
    this.focus(event.key in ends ? ends[event.key] : now + steps[event.key]);
  }

  focus(place) {
    const at = Math.min(this.total - 1, Math.max(0, place));
    const height = this.height;
    if (at * height < this.list.scrollTop) this.list.scrollTop = at * height;
    const low = (at + 1) * height - this.list.clientHeight;
    if (low > this.list.scrollTop) this.list.scrollTop = low;
    this.draw();
    const node = this.shown.get(at);
    if (!node.href) node.href = "#";
    node.focus({ preventScroll: true });
  }
}

if (document.body.dataset.page === "answers") {
  const [list, form, count] = ["list", "filters", "count"].map((name) => document.getElementById(name));
  new AnswerList(list, form, count);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !typing(event)) {
      event.preventDefault();
      form.elements.text.focus();
    }
  });
}

if (document.body.dataset.page === "answer") {
  addEventListener("keydown", (event) => {
    const name = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    if (!name || typing(event) || event.altKey || event.ctrlKey || event.metaKey) return;
    document.querySelector(`a[rel=${name}]`)?.click();
  });
}

for (const one of document.querySelectorAll("[data-send]")) one.addEventListener("change", () => one.form.requestSubmit());
