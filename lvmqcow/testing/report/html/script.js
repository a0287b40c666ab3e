"use strict";
(() => {
  const rows = [...document.querySelectorAll("#matrix tbody tr")];
  const words = document.getElementById("filter");
  const outcome = document.getElementById("outcome");
  const shown = document.getElementById("shown");
  if (words && outcome && shown) {
    const apply = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const fits = wanted.every((word) => text.includes(word));
        const came = !outcome.value || row.dataset.outcomes.split(" ").includes(outcome.value);
        row.hidden = !(fits && came);
        count += row.hidden ? 0 : 1;
      }
      shown.textContent = `${count} of ${rows.length} rows`;
    };
    words.closest("form").hidden = false;
    words.closest("form").addEventListener("submit", (event) => event.preventDefault());
    words.addEventListener("input", apply);
    outcome.addEventListener("input", apply);
    apply();
  }
  for (const trace of document.querySelectorAll("details.trace")) {
    const text = `${trace.querySelector("pre").textContent}\n`;
    const actions = trace.querySelector(".actions");
    const copy = trace.querySelector(".copy");
    const save = trace.querySelector(".save");
    save.href = `data:application/x-ndjson;charset=utf-8,${encodeURIComponent(text)}`;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    });
    actions.hidden = false;
  }
})();
