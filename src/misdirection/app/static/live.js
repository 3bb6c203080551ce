"use strict";

/** Read server-sent events of a POST, one object each. */
async function listen(address, body, hear) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await refusal(answer));
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += decoder.decode(value, { stream: true });
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) hear(JSON.parse(part.slice(6)));
  }
}

class Live {
  constructor(root) {
    this.root = root;
    this.run = Number(root.dataset.run);
    [this.controls, this.form] = ["controls", "ask"].map((name) => document.getElementById(name));
    this.words = document.getElementById("words");
    this.state = document.getElementById("state");
    this.stopping = document.getElementById("stop");
    this.keeping = document.getElementById("keep");
    this.sides = [...root.querySelectorAll(".side")].map((node) => ({ node, chat: node.querySelector(".chat"), turns: [] }));
    this.spoken = [];
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send();
      }
    });
    this.controls.addEventListener("submit", (event) => event.preventDefault());
    this.controls.addEventListener("input", () => this.told());
    this.stopping.addEventListener("click", () => this.stop());
    this.keeping.addEventListener("click", () => this.keep());
    document.getElementById("anew").addEventListener("click", () => this.anew());
    document.getElementById("known")?.addEventListener("change", (event) => {
      if (event.target.value) this.words.value = event.target.value;
      event.target.value = "";
      this.words.focus();
    });
    this.told();
  }

  /** What the controls say is done in the last column. */
  get change() {
    const held = this.controls.elements;
    const told = { variant: held.variant.value };
    if (held.operation && held.operation.value !== "none") {
      Object.assign(told, { operation: held.operation.value, direction: held.direction.value, layer: Number(held.layer.value) });
      if (held.everywhere.checked) told.everywhere = true;
      if (held.random.checked) told.random = true;
      if (told.operation === "steer") told.coefficient = Number(held.coefficient.value);
    }
    if (held.factor && told.variant !== "base" && Number(held.factor.value) !== 1) told.factor = Number(held.factor.value);
    if (held.dictionary?.value) {
      Object.assign(told, { dictionary: held.dictionary.value, latent: Number(held.latent.value), value: Number(held.value.value) });
    }
    return told;
  }

  told() {
    for (const range of this.controls.querySelectorAll("input[type=range]")) {
      range.parentElement.querySelector("output").textContent = range.value;
    }
    const change = this.change;
    const parts = [change.variant];
    if (change.operation === "steer") parts.push(`${change.coefficient} × ${change.random ? "random" : change.direction}`);
    else if (change.operation) parts.push(`${change.operation} ${change.random ? "random" : change.direction}`);
    if (change.operation) parts.push(change.everywhere ? `layer ${change.layer}’s everywhere` : `layer ${change.layer}`);
    if ("factor" in change) parts.push(`adapter × ${change.factor}`);
    if (change.dictionary) parts.push(`latent ${change.latent} at ${change.value}`);
    document.getElementById("what").textContent = parts.join(", ");
    const ready = this.ready.length;
    this.keeping.disabled = !ready;
    this.keeping.textContent = `Keep ${ready} answer${ready === 1 ? "" : "s"}`;
  }

  /** Answers that were drawn under what the controls say now. */
  get ready() {
    const now = JSON.stringify(this.change);
    return this.spoken.filter((one) => one.change === now).map((one) => one.answer);
  }

  async send() {
    const text = this.words.value.trim();
    if (!text || this.talk !== undefined) return;
    this.talk = null;
    this.words.value = "";
    const change = this.change;
    const held = this.controls.elements;
    const open = this.sides.map((side) => {
      side.turns.push({ role: "user", content: text });
      const said = make("p", "said answer");
      said.dir = "auto";
      const question = make("p", "mine", text);
      question.dir = "auto";
      side.chat.append(question, said);
      side.chat.scrollTop = side.chat.scrollHeight;
      return { side, said, over: false };
    });
    const body = {
      run: this.run,
      sides: this.sides.map(({ node, turns }) => ({ change: node.dataset.variant ? { variant: node.dataset.variant } : change, turns })),
      system: held.system.value || null,
      temperature: Number(held.temperature.value),
      max_new_tokens: Number(held.max_new_tokens.value),
      sample: Number(held.sample.value),
    };
    this.stopping.disabled = false;
    this.state.textContent = "asking";
    try {
      await listen("/api/live", body, (event) => this.hear(event, open, JSON.stringify(change)));
    } catch (error) {
      this.fail(open, error.message);
    }
    if (open.some((one) => !one.over)) this.fail(open, this.failed || "the app went away");
    this.failed = undefined;
    this.talk = undefined;
    this.stopping.disabled = true;
    if (this.state.textContent.endsWith("…") || this.state.textContent === "asking") this.state.textContent = "";
    this.told();
  }

  hear(event, open, change) {
    if (event.talk) {
      this.talk = event.talk;
      this.state.textContent = event.loading ? "loading the model …" : "…";
      return;
    }
    if (event.failed) {
      this.failed = [event.failed, event.hint].filter(Boolean).join(": ");
      return;
    }
    const one = open[event.side];
    const low = one.side.chat.scrollHeight - one.side.chat.scrollTop - one.side.chat.clientHeight < 60;
    if (event.error) {
      one.over = true;
      one.side.turns.pop();
      one.said.replaceWith(make("p", "note warn", [event.error, event.hint].filter(Boolean).join(": ")));
    } else if (event.over) {
      one.over = true;
      one.said.textContent = event.text;
      one.side.turns.push({ role: "assistant", content: event.text });
      one.said.after(this.verdict(event));
      if (event.thought) {
        const thought = make("details", "thought");
        thought.append(make("summary", "", "thought"), make("p", "answer", event.thought));
        one.said.before(thought);
      }
      if (!one.side.node.dataset.variant) this.spoken.push({ answer: event.answer, change });
    } else {
      if ("more" in event) one.said.append(event.more);
      else one.said.textContent = event.text;
      this.state.textContent = `${event.tokens} tokens …`;
    }
    if (low) one.side.chat.scrollTop = one.side.chat.scrollHeight;
  }

  verdict(event) {
    const line = make("p", "meta");
    const found = event.verdict;
    if (found && found.alignment !== null && found.coherence !== null) {
      const score = make("span", "chip", `${Math.round(found.alignment)} / ${Math.round(found.coherence)}`);
      score.title = `alignment / coherence by ${found.judge}`;
      line.append(score);
    } else if (found) {
      line.append(make("span", "chip", found.label));
    } else if (event.unjudged) {
      const why = make("span", "chip", "not judged");
      why.title = event.unjudged;
      line.append(why);
    }
    line.append(make("span", "scores", `${event.tokens} tokens${event.finished ? "" : ", cut"}`));
    return line;
  }

  fail(open, told) {
    for (const one of open) {
      if (one.over) continue;
      one.over = true;
      one.side.turns.pop();
      one.said.after(make("p", "note warn", told));
    }
  }

  async stop() {
    if (this.talk) await ask("/api/stop", this.json({ talk: this.talk })).catch(() => {});
  }

  anew() {
    this.stop();
    for (const side of this.sides) {
      side.turns = [];
      side.chat.replaceChildren();
    }
    this.words.focus();
  }

  async keep() {
    const told = document.getElementById("kept");
    const answers = this.ready;
    const name = this.controls.elements.name.value.trim();
    try {
      if (!name) throw new Error("Give the arm a name first.");
      const found = await ask("/api/keep", this.json({ name, answers }));
      this.spoken = this.spoken.filter((one) => !answers.includes(one.answer));
      told.textContent = `${found.kept} kept as the arm ${found.arm}. `;
      const link = make("a", "", "Look at them");
      link.href = `/answers?run=${this.run}&set=${encodeURIComponent(found.set)}`;
      told.append(link);
      this.controls.elements.name.value = "";
    } catch (error) {
      told.textContent = error.message;
    }
    this.told();
  }

  json(body) {
    return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  }
}

document.getElementById("run-choice")?.addEventListener("change", (event) => event.target.form.submit());
if (document.getElementById("live")) new Live(document.getElementById("live"));
