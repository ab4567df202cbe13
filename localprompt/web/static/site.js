"use strict";

// Answers: text as it comes, and what it took when it has ended.
function follow(article) {
  const id = article.dataset.job;
  const stream = article.querySelector(".stream");
  const state = article.querySelector(".state");
  const source = new EventSource(`/jobs/${id}/events`);
  const text = document.createTextNode("");
  stream.replaceChildren(text);
  const words = article.closest(".answers").dataset;
  source.addEventListener("state", (event) => { state.textContent = words[JSON.parse(event.data)]; });
  source.addEventListener("piece", (event) => {
    state.textContent = words.answering;
    text.appendData(JSON.parse(event.data));
  });
  const end = (word) => {
    source.close();
    state.textContent = word;
    article.querySelector(".controls").hidden = true;
    htmx.ajax("GET", `/jobs/${id}`, { target: article.querySelector(".below"), swap: "innerHTML" });
    if (!stream.textContent) stream.hidden = true;
  };
  source.addEventListener("done", (event) => {
    const run = JSON.parse(event.data);  // "": it could not be recorded
    if (run) article.dataset.run = run;
    end(words.done);
    // A turn that was answered has a page of its own, from which the next one goes on.
    if (article.dataset.then && run && text.data) location.assign(`${article.dataset.then}${run}`);
    showDifference(article.closest(".answers"));
  });
  source.addEventListener("failed", () => end(words.failed));
  source.onopen = () => { text.data = ""; };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) end(words.lost);
  };
}

// Answers that stand side by side: what differs in them, when all are there.
function showDifference(section) {
  const runs = [...section.querySelectorAll("[data-run]")].map((article) => article.dataset.run);
  if (runs.length < 2 || runs.length < section.querySelectorAll("[data-job]").length) return;
  const query = runs.map((run) => `id=${run}`).join("&");
  htmx.ajax("GET", `/difference?${query}`, { target: section.querySelector(".differences") });
}

// What was typed stays where another choice of prompts asks for the same.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "inputs") return;
  const typed = [...event.detail.target.querySelectorAll("[name]")].map((field) => [field.name, field.value]);
  event.detail.target.addEventListener("htmx:afterSwap", () => {
    for (const [name, value] of typed) {
      const field = event.detail.target.querySelector(`[name="${CSS.escape(name)}"]`);
      if (field && value) field.value = value;
    }
  }, { once: true });
});

document.addEventListener("htmx:load", (event) => {
  for (const article of event.detail.elt.querySelectorAll("[data-job]")) {
    if (article.dataset.followed) continue;
    article.dataset.followed = "";
    follow(article);
  }
});

document.addEventListener("click", (event) => {
  const job = event.target.dataset?.stop;
  if (job) htmx.ajax("POST", `/jobs/${job}/stop`, { swap: "none" });
});

// What is going on elsewhere is asked for every few seconds and mostly the same: then nothing moves.
let going = "";
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "live") return;
  event.detail.shouldSwap = event.detail.serverResponse !== going;
  going = event.detail.serverResponse;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  if (event.target.matches("textarea")) event.target.form?.requestSubmit();
});

// Files are read here, by the browser, and sent as text.
document.addEventListener("change", (event) => {
  const into = event.target.dataset?.into;
  if (!into || !event.target.files.length) return;
  event.target.files[0].text().then((content) => { document.getElementById(into).value = content; });
});
