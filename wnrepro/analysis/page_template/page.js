"use strict";
const table = document.getElementById("run-table");
const body = table.tBodies[0];
const rows = [...body.rows];
const form = document.getElementById("filter");
const { arm, data, words } = form.elements;
const said = form.querySelector("output");

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits =
      (!arm.value || row.dataset.arm === arm.value) &&
      (!data.value || row.dataset.data === data.value) &&
      wanted.every((word) => text.includes(word));
    row.hidden = !fits;
    shown += fits;
  }
  said.textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
}

// A missing number has an empty value; it comes last, whichever the direction.
function compare(a, b, direction) {
  const [x, y] = [a, b].map((cell) => cell.dataset.value);
  if (x === undefined) return direction * a.textContent.localeCompare(b.textContent, "en");
  if (x === "" || y === "") return (x === "") - (y === "");
  return direction * (Number(x) - Number(y));
}

function sort(heading) {
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const column = heading.cellIndex;
  const sorted = [...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column], direction));
  body.append(...sorted);
}

for (const heading of table.tHead.rows[0].cells) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  heading.replaceChildren(button);
  button.addEventListener("click", () => sort(heading));
}
form.addEventListener("change", filter);
words.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
filter(); // a browser may have kept what was typed before a reload

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
