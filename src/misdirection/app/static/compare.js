"use strict";

const HEADS = [["questions", "questions"], ["arm", "arm"], ["first", "first"], ["second", "second"], ["change", "second less first"], ["p", "p"], ["q", "q"], ["paired", "paired by"]];

function tested(found) {
  const table = make("table");
  const head = make("tr");
  for (const [, text] of HEADS) {
    const cell = make("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const rows = found.rows.map((one) => {
    const row = make("tr", one.found ? "found" : "");
    row.append(...HEADS.map(([name]) => make("td", "", one[name])));
    return row;
  });
  const [top, body] = [make("thead"), make("tbody")];
  top.append(head);
  body.append(...rows);
  table.append(top, body);
  return [make("p", "told", found.sentence), table, make("p", "told", "Bold: a change is found (q < 0.05); intervals are each comparison's own.")];
}

const pair = document.getElementById("pair");

async function test() {
  const node = document.getElementById("tested");
  const query = new URLSearchParams(new FormData(pair)).toString();
  node.replaceChildren(make("p", "told", "testing …"));
  try {
    const found = await ask(`/api/compared?${query}`);
    if (query === new URLSearchParams(new FormData(pair)).toString()) node.replaceChildren(...tested(found));
  } catch (error) {
    node.replaceChildren(make("p", "note warn", error.message));
  }
}

if (pair) {
  pair.addEventListener("change", test);
  pair.addEventListener("submit", (event) => event.preventDefault());
  test();
}
