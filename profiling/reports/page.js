"use strict";

// Sort the rows of a table by one column; what has no value comes last, whichever way.
function sort(table, heading) {
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const index = Number(heading.dataset.index);
  const numeric = heading.hasAttribute("data-numeric");
  const value = (row) => {
    const text = row.cells[index]?.dataset.value ?? "";
    return text === "" ? null : numeric ? Number(text) : text;
  };
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return (up ? 1 : -1) * ((a > b) - (a < b));
  });
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sort(table, button.closest("th"));
  });
}

// A link to a record opens it.
function open() {
  const target = document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", open);
open();

// The lines between the brackets are the records as they were measured.
document.getElementById("download").addEventListener("click", () => {
  const lines = document.getElementById("records").textContent.trim().split("\n").slice(1, -1);
  const text = lines.map((line) => line.replace(/,$/, "") + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/jsonl" }));
  link.download = "records.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
