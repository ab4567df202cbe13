"use strict";

// Tables: each heading becomes a button that sorts by its column, first up, then down.
// A row and its details are one tbody and move together; unknown values stay last.
for (const table of document.querySelectorAll(".table table:not(.list)")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const numeric = heading.classList.contains("number");
      table.append(...[...table.tBodies].sort((a, b) => compare(a, b, column, numeric, down)));
      table.dispatchEvent(new Event("sorted"));
    });
  });
}

function compare(a, b, column, numeric, down) {
  const [x, y] = [a, b].map((body) => body.rows[0].cells[column].dataset.order);
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
  const order = numeric ? x - y : x.localeCompare(y, undefined, { numeric: true });
  return down ? -order : order;
}

// Dark or light: as the system has it, until the button says otherwise.
const root = document.documentElement;
const scheme = document.getElementById("scheme");
const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.scheme ? root.dataset.scheme === "dark" : dark.matches;
}

function nameButton() {
  scheme.textContent = isDark() ? scheme.dataset.light : scheme.dataset.dark;
}

scheme.addEventListener("click", () => {
  root.dataset.scheme = isDark() ? "light" : "dark";
  nameButton();
});
dark.addEventListener("change", nameButton);
nameButton();
scheme.hidden = false;
