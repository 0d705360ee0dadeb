"use strict";
// Sorting and filtering of the table; without it, the page says the same.
const table = document.getElementById("functions");
const body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];

function key(row, column) {
  const cell = row.cells[column];
  return column === 0 ? cell.textContent : Number(cell.dataset.value ?? NaN);
}

function order(head, column) {
  const descending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : column !== 0;
  const sign = descending ? -1 : 1;
  const rows = [...body.rows].sort((left, right) => {
    const a = key(left, column);
    const b = key(right, column);
    if (column === 0) return sign * a.localeCompare(b);
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  });
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...rows);
}

heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => order(head, column));
});

const filter = document.getElementById("filter");
const shown = document.getElementById("shown");
filter.closest("label").hidden = false;
filter.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  let count = 0;
  for (const row of document.querySelectorAll("#functions > tbody > tr, #values > tbody > tr")) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = wanted ? `${count.toLocaleString()} shown` : "";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== filter) {
    event.preventDefault();
    filter.focus();
  }
});
