"use strict";
(() => {
  const table = document.getElementById("studies");
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const search = document.getElementById("search"), filters = [...document.querySelectorAll("[data-filter]")];

  /** Value of a cell: a number where it holds one, null where it holds nothing. */
  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (text === "") return null;
    return cell.dataset.value === undefined ? text : Number(text);
  }

  function compare(a, b) {
    return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  }

  function sort(column) {
    const way = heads[column].getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", way);
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    const known = rows.filter(([v]) => v !== null), unknown = rows.filter(([v]) => v === null);
    known.sort(([a], [b]) => (way === "ascending" ? compare(a, b) : compare(b, a)));
    body.append(...[...known, ...unknown].map(([, row]) => row)); // what is not known stays last
  }

  function filter() {
    const levels = filters.filter((f) => f.getAttribute("aria-pressed") === "true").map((f) => f.dataset.filter);
    const wanted = search.value.trim().toLowerCase();
    const fits = (level, name) => levels.includes(level) && name.toLowerCase().includes(wanted);
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !fits(row.dataset.level, row.cells[0].textContent);
      shown += !row.hidden;
    }
    for (const point of document.querySelectorAll(".plot a"))
      point.toggleAttribute("hidden", !fits(point.dataset.level, point.dataset.name));
    document.getElementById("shown").textContent = `${shown} of ${body.rows.length} shown`;
  }

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
  for (const button of filters) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
      filter();
    });
  }
  search.addEventListener("input", filter);
  filter();
})();
