"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const failures = [];
  const fail = (what) => {
    failures.push(String(what));
    root.dataset.errors = failures.join(" | ");
  };
  addEventListener("error", (event) => fail(event.message));
  addEventListener("unhandledrejection", (event) => fail(event.reason));
  addEventListener("securitypolicyviolation", (event) => fail("blocked: " + event.violatedDirective + " " + event.blockedURI));

  // plotly.js reads tags and entities in text.
  const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cut = (text, most) => (text.length > most ? text.slice(0, most - 1).trimEnd() + "\u2026" : text);

  const wrap = (text, width, lines) => {
    const made = [""];
    for (const word of text.trim().split(/\s+/)) {
      const last = made[made.length - 1];
      if (last && last.length + 1 + word.length > width) made.push(word);
      else made[made.length - 1] = last ? last + " " + word : word;
    }
    const kept = made.slice(0, lines).map((line) => cut(line, width));
    if (made.length > lines) kept[lines - 1] = cut(kept[lines - 1] + " \u2026", width + 2);
    return kept.map(escape).join("<br>");
  };

  const theme = () => {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: of("--grid"), linecolor: of("--rule"), zerolinecolor: of("--soft"), zerolinewidth: 1, automargin: true, ticklabelstandoff: 6, title: { standoff: 8, font: { size: 12 } }, ticks: "" };
    return {
      layout: {
        font: { family: of("--sans"), size: 12, color: of("--ink") },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: axis, yaxis: axis,
        legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", traceorder: "normal", bgcolor: "rgba(0,0,0,0)" },
        margin: { l: 8, r: 14, t: 8, b: 8 },
        hoverlabel: { bgcolor: of("--panel"), bordercolor: of("--rule"), font: { color: of("--ink"), family: of("--sans"), size: 12 }, align: "left" },
        hovermode: "closest",
        modebar: { bgcolor: "rgba(0,0,0,0)", color: of("--soft"), activecolor: of("--ink") },
      },
    };
  };

  const hover = (index) => {
    const card = index >= 0 && document.getElementById("a" + index);
    if (!card) return "an answer that is not in the list";
    const part = (name) => card.querySelector(name).textContent;
    return "<b>" + escape(part(".scores")) + "</b><br>" + wrap(part(".q"), 58, 2) + "<br>\u2013 " + wrap(part(".answer"), 58, 6);
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const config = { displaylogo: false, displayModeBar: !touch, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]] };

  // plotly.js sets a legend in one row, or in as many as it has entries.
  const legendRows = (spec, room) => {
    if (!spec.layout.showlegend) return 0;
    const names = spec.data.filter((trace) => trace.name && trace.showlegend !== false).map((trace) => trace.name);
    return names.reduce((sum, name) => sum + name.length * 6.6 + 46, 0) > room ? names.length : 1;
  };

  // Names beside points were placed for a wide chart (labels.py). On a narrower one those that would lie over another
  // give way, the ones that a chart puts first (a trace's meta.first, by place) last of all.
  const thin = (div) => {
    const traceOf = (node) => node.closest(".trace")?.__data__?.[0]?.trace;
    const first = (node) => (traceOf(node)?.meta?.first?.[node.parentNode.__data__.i] ? 0 : 1);
    const beside = all(".textpoint text", div).map((node) => [first(node), node]);
    const apart = all(".annotation", div).map((node) => [2, node]);
    const names = [...beside, ...apart].sort((one, other) => one[0] - other[0]);
    // What stands beside a point is cut off where the plot ends; a point's own mark is in nobody's way.
    const inside = div.querySelector(".nsewdrag")?.getBoundingClientRect() ?? div.getBoundingClientRect();
    const edge = div.getBoundingClientRect();
    const marks = all(".scatterlayer .point", div).map((node) => [node.__data__, node.getBoundingClientRect()]);
    const lies = (box, o, by) => box.left < o.right - by && o.left + by < box.right && box.top + 1 < o.bottom - by && o.top + by < box.bottom - 1;
    const kept = [];
    let hidden = 0;
    for (const [rank, node] of names) {
      const box = (node.matches(".annotation") ? node.querySelector(".annotation-text") ?? node : node).getBoundingClientRect();
      const own = node.parentNode.__data__;
      const over = kept.some((o) => lies(box, o, 0)) || rank && marks.some(([point, o]) => point !== own && lies(box, o, 3));
      const room = traceOf(node)?.cliponaxis === false || node.matches(".annotation") ? edge : inside;
      const out = box.left < room.left - 1 || box.right > room.right + 1;
      node.style.visibility = over || out ? "hidden" : "";
      if (over || out) hidden += 1;
      else if (box.width) kept.push(box);
    }
    div.dataset.unnamed = String(hidden);
  };

  const draw = (holder) => {
    const { div } = holder;
    // The blue of the palette is too dark on a dark ground.
    const paper = root.classList.contains("paper");
    const night = dark.matches && !paper;
    const spec = JSON.parse(night ? holder.text.replaceAll("#0072B2", "#3D9BDC").replaceAll("rgba(0,114,178,", "rgba(61,155,220,") : holder.text);
    const width = div.clientWidth;
    const narrow = width < 520;
    const layout = spec.layout;
    layout.template = theme();
    layout.dragmode = touch ? false : "zoom";
    layout.margin = { l: 8, r: 14, t: 8, b: 8 };
    // A legend above an axis on the top side would lie on its title.
    if (layout.xaxis.side === "top") layout.legend = { y: 1, yref: "container", yanchor: "top" };
    if (layout.legend) layout.margin.t = 58 + 19 * legendRows(spec, width * 0.56);
    // A sheet holds no more, with the heading above it.
    div.style.height = (paper ? Math.min(holder.height, 700) : holder.height) + "px";
    if (layout.square && width < 460) div.style.height = Math.max(300, width - 20) + "px";
    delete layout.square;
    // Named, so that another size is drawn at once and not on the next tick, when a sheet is printed already.
    Object.assign(layout, { width, height: parseFloat(div.style.height) });
    if (spec.labels) {
      const room = Math.max(14, Math.floor((width * (narrow ? 0.42 : 0.4)) / (narrow ? 5.6 : 6.2)));
      const lines = paper && holder.height > 700 ? 1 : 2;
      layout.yaxis.ticktext = spec.labels.map((text) => wrap(text, Math.min(room, 62), lines));
      layout.yaxis.tickfont = { size: narrow ? 10.5 : 12 };
    }
    const ink = getComputedStyle(root).getPropertyValue("--ink").trim();
    const data = spec.data.map((trace) => {
      const { answers, ...kept } = trace;
      if (kept.error_x && kept.error_x.color === "ink") kept.error_x = { ...kept.error_x, color: ink };
      return answers ? { ...kept, text: kept.customdata.map(hover) } : kept;
    });
    holder.drawn = true;
    Plotly.react(div, data, layout, config).then(() => {
      if (!holder.bound) {
        holder.bound = true;
        div.on("plotly_click", (event) => find(event.points[0].customdata));
        div.on("plotly_afterplot", () => thin(div));
      }
      thin(div);
      // Its words are not read out one by one: the chart is named, and its table says the same.
      all("svg.main-svg", div).forEach((svg) => svg.setAttribute("aria-hidden", "true"));
      div.dataset.ready = "";
      root.dataset.drawn = String(holders.filter((h) => h.bound && h.div.querySelector(".main-svg")).length);
    }).catch(fail);
  };

  const find = (index) => {
    const card = Number.isInteger(index) && document.getElementById("a" + index);
    if (!card) return;
    all("[data-filter]").forEach((field) => (field.value = ""));
    filter();
    all(".card.found").forEach((old) => old.classList.remove("found"));
    card.classList.add("found");
    card.scrollIntoView({ block: "center" });
  };

  const holders = all("script[data-chart]").map((script) => ({
    div: document.getElementById(script.dataset.chart),
    text: script.textContent,
  }));
  holders.forEach((holder) => (holder.height = parseFloat(holder.div.style.height)));
  const attempt = (holder) => {
    try { draw(holder); } catch (error) { fail(error); }
  };
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watch.unobserve(entry.target);
      attempt(holders.find((holder) => holder.div === entry.target));
    }
  }, { rootMargin: "500px 0px" });
  const near = (div) => div.getBoundingClientRect().top < innerHeight + 500;
  holders.forEach((holder) => (near(holder.div) ? attempt(holder) : watch.observe(holder.div)));
  const again = () => holders.filter((holder) => holder.drawn).forEach(attempt);
  dark.addEventListener("change", again);
  let width = innerWidth;
  let waiting;
  addEventListener("resize", () => {
    // Phones resize when their address bar hides; only another width calls for other labels.
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(again, 150);
  });
  const paper = (on) => {
    root.classList.toggle("paper", on);
    (on ? holders : holders.filter((holder) => holder.drawn)).forEach(attempt);
  };
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));

  // A picture that can be printed at any size, on the ground that its inks are chosen for.
  const save = (holder) => {
    const { div } = holder;
    if (!holder.drawn) attempt(holder);
    const ground = getComputedStyle(root).getPropertyValue("--bg").trim();
    const figure = { data: div.data, layout: { ...div.layout, paper_bgcolor: ground } };
    const size = { width: div.clientWidth, height: div.clientHeight };
    Plotly.downloadImage(figure, { format: "svg", filename: div.id.replace(/^chart-/, ""), ...size }).catch(fail);
  };
  all("[data-svg]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => save(holders.find((holder) => holder.div.id === button.dataset.svg)));
  });

  const bar = document.querySelector(".filters");
  const cards = all(".card");
  const filter = () => {
    const want = Object.fromEntries(all("[data-filter]").map((field) => [field.dataset.filter, field.value]));
    const text = want.text.toLowerCase();
    let shown = 0;
    for (const card of cards) {
      const fits = ["a", "g", "k"].every((name) => want[name] === "" || card.dataset[name] === want[name]) && (!text || card.textContent.toLowerCase().includes(text));
      card.hidden = !fits;
      shown += fits;
    }
    bar.querySelector("output").textContent = shown + " of " + cards.length;
  };
  if (bar) {
    bar.hidden = false;
    bar.addEventListener("input", filter);
    filter();
  }

  const read = (event) => {
    const token = event.target.closest(".tokens span");
    const readout = token && token.closest("section").querySelector(".readout");
    if (readout) readout.textContent = "\u201c" + token.textContent.trim() + "\u201d  " + token.title;
  };
  if (document.querySelector(".readout")) ["pointerover", "click"].forEach((name) => addEventListener(name, read));

  // Answers coloured by one adapter; the page itself shows the first.
  all("[data-adapters]").forEach((box) => {
    const held = JSON.parse(box.querySelector("script").textContent);
    const select = box.querySelector("select");
    const texts = all(".tokens", box).map((text) => [...text.children]);
    const means = all("[data-mean]", box);
    // No sign before a zero that rounding made, as in the page.
    const decimal = (value) => value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "\u2212");
    const show = () => {
      const place = Number(select.value);
      const top = held.tops[place];
      box.querySelector("[data-end=low]").textContent = decimal(-top);
      box.querySelector("[data-end=high]").textContent = "+" + decimal(top);
      box.querySelector(".readout").textContent = "";
      texts.forEach((spans, row) => {
        const values = held.values[row][place];
        const answer = values.slice(held.starts[row]).filter((value) => value !== null);
        means[row].textContent = answer.length ? decimal(answer.reduce((sum, value) => sum + value, 0) / answer.length) : "\u2013";
        spans.forEach((span, at) => {
          const value = values[at] ?? 0;
          const step = Math.min(8, Math.round((Math.abs(value) / top) * 8));
          span.className = (step ? (value > 0 ? "p" : "n") + step : "") + (at < held.starts[row] ? " prompt" : "");
          span.title = decimal(value);
        });
      });
    };
    select.parentElement.hidden = false;
    select.addEventListener("change", show);
    // Browsers keep a choice when a page is loaded again.
    show();
  });

  all("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
  });

  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const follow = new IntersectionObserver((entries) => {
    entries.forEach((entry) => (entry.isIntersecting ? seen.add(entry.target.id) : seen.delete(entry.target.id)));
    const first = [...links.keys()].find((id) => seen.has(id));
    if (!first) return;
    links.forEach((link, id) => link.classList.toggle("here", id === first));
    const list = document.querySelector("nav");
    const link = links.get(first);
    if (list.scrollWidth > list.clientWidth) list.scrollTo({ left: link.offsetLeft - 40 });
  }, { rootMargin: "-20% 0px -70% 0px" });
  all("main > section").forEach((section) => follow.observe(section));
})();
