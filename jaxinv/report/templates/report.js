"use strict";
(() => {
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    return "key" in cell.dataset ? cell.dataset.key : cell.firstChild ? cell.firstChild.textContent.trim() : "";
  };
  const compare = (one, other) => {
    const numbers = [Number(one), Number(other)];
    return numbers.every(Number.isFinite) ? numbers[0] - numbers[1] : one.localeCompare(other, "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const rising = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        const known = rows.filter((row) => keyOf(row, column) !== "");
        known.sort((one, other) => (rising ? 1 : -1) * compare(keyOf(one, column), keyOf(other, column)));
        table.tBodies[0].append(...known, ...rows.filter((row) => keyOf(row, column) === ""));
      });
    });
  }
  for (const input of document.querySelectorAll("input[data-table]")) {
    const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const count = input.parentElement.querySelector("output");
    input.parentElement.hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let found = 0;
      rows.forEach((row, number) => {
        row.hidden = !texts[number].includes(wanted);
        found += row.hidden ? 0 : 1;
      });
      count.textContent = wanted ? `${found} of ${rows.length} rows` : "";
    });
  }
  addEventListener("beforeprint", () => {
    for (const more of document.querySelectorAll("details")) more.open = true;
  });
})();
