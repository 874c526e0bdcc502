"use strict";
const table = document.getElementById("run-table");
const body = table.tBodies[0];
const rows = [...body.rows];
const form = document.getElementById("filter");
const { arm, data, words } = form.elements;
const said = form.querySelector("output");

const heads = [...table.tHead.rows[0].cells];
const column = Object.fromEntries(heads.map((head) => [head.textContent, head.cellIndex]));

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits =
      [arm, data].every(({ name, value }) => !value || row.cells[column[name]].textContent === value) &&
      wanted.every((word) => text.includes(word));
    row.hidden = !fits;
    shown += fits;
  }
  said.textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
}

// A missing number is a dash; it comes last, whichever the direction.
function compare(a, b, direction, numeric) {
  if (!numeric) return direction * a.localeCompare(b, "en");
  const [x, y] = [Number(a), Number(b)];
  return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : direction * (x - y);
}

function sort(heading) {
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const each of heads) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const text = (row) => row.cells[heading.cellIndex].textContent;
  const numeric = heading.classList.contains("number");
  body.append(...[...body.rows].sort((a, b) => compare(text(a), text(b), direction, numeric)));
}

for (const heading of heads) {
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
