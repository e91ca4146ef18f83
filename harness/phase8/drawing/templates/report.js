"use strict";
// Filters. Without them, and without scripts, everything on the page is there and readable.
(() => {
  const form = document.getElementById("filters");
  const told = document.getElementById("shown");
  const words = new Map();
  const openedHere = new Set();
  const facets = ["variant", "status", "reply", "suite"];
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const matrix = document.getElementById("matrix");

  const text = (element) => {
    if (!words.has(element)) {
      const { find = "", variant = "" } = element.dataset;
      words.set(element, `${find} ${variant} ${element.textContent}`.toLowerCase());
    }
    return words.get(element);
  };

  // An element that lacks a facet is of every value of it: a row of measures has a variant and no suite.
  const matches = (element, wanted, names) =>
    names.every((name) => {
      const value = element.dataset[name];
      return !wanted[name] || value === undefined || value.split("\n").includes(wanted[name]);
    });

  const found = (element, wanted) =>
    matches(element, wanted, facets) && (!wanted.text || text(element).includes(wanted.text));

  const showRows = (wanted) => {
    for (const row of all("[data-variant]:not([data-item])")) row.hidden = !matches(row, wanted, ["variant"]);
  };

  const showMatrix = (wanted) => {
    if (!matrix) return;
    const asked = wanted.status || wanted.text;
    const columns = new Set();
    let left = 0;
    for (const row of all("tbody tr", matrix)) {
      const hits = all("td", row).filter((cell) => cell.dataset.status && found(cell, wanted));
      row.hidden = !matches(row, wanted, ["variant"]) || Boolean(asked && !hits.length);
      for (const cell of all("td", row)) cell.classList.toggle("dim", Boolean(asked) && !hits.includes(cell));
      if (!row.hidden) {
        left += 1;
        for (const cell of hits) columns.add(cell.cellIndex);
      }
    }
    for (const row of matrix.rows)
      for (const cell of row.cells)
        cell.hidden = Boolean(asked) && left > 0 && cell.cellIndex > 0 && !columns.has(cell.cellIndex);
    empty("matrix", left);
  };

  const empty = (id, left) => {
    const note = document.querySelector(`[data-empty="${id}"]`);
    if (note) note.hidden = left > 0;
  };

  const showItems = (selector, wanted) => {
    let left = 0;
    const items = all(selector);
    for (const item of items) {
      item.hidden = !found(item, wanted);
      left += item.hidden ? 0 : 1;
    }
    return { left, of: items.length };
  };

  const showGroups = (wanted) => {
    for (const group of all("details.group")) {
      const ofGate = Boolean(group.querySelector("[data-item=finding]"));
      const asked = wanted.text || (ofGate ? wanted.status : wanted.reply || wanted.suite);
      const left = all("[data-item]", group).filter((item) => !item.hidden).length;
      group.hidden = left === 0;
      group.querySelector(".match").textContent = asked ? `${left} shown` : "";
      if (asked && left && !group.open) {
        group.open = true;
        openedHere.add(group);
      } else if (!asked && openedHere.delete(group)) group.open = false;
    }
  };

  const countVerdicts = (wanted) => {
    const cells = matrix ? all("td[data-status]", matrix) : [];
    const left = cells.filter((cell) => matches(cell.parentElement, wanted, ["variant"]) && found(cell, wanted));
    return { left: left.length, of: cells.length };
  };

  const apply = () => {
    const wanted = Object.fromEntries(facets.map((name) => [name, form.elements[name]?.value || ""]));
    wanted.text = form.elements.text.value.trim().toLowerCase();
    showRows(wanted);
    showMatrix(wanted);
    const findings = showItems("[data-item=finding]", wanted);
    const failures = showItems("[data-item=failure]", wanted);
    const replies = showItems("[data-item=reply]", wanted);
    showGroups(wanted);
    empty("finding", findings.left);
    empty("failure", failures.left);
    empty("reply", replies.left);
    const counts = [[countVerdicts(wanted), "verdicts"], [findings, "findings"], [replies, "replies"]];
    told.textContent = counts
      .filter(([count]) => count.of)
      .map(([count, what]) => `${count.left.toLocaleString("en")} of ${count.of.toLocaleString("en")} ${what}`)
      .join(" · ");
    const on = Object.values(wanted).some(Boolean);
    form.classList.toggle("on", on);
    form.elements.clear.disabled = !on;
  };

  let waiting = 0;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.elements.text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 120);
  });
  apply();
})();
