"use strict";

// Answers: text as it comes, and what it took when it has ended.
function follow(article) {
  const id = article.dataset.job;
  const stream = article.querySelector(".stream");
  const state = article.querySelector(".state");
  const source = new EventSource(`/jobs/${id}/events`);
  const text = document.createTextNode("");
  stream.replaceChildren(text);
  source.addEventListener("state", (event) => { state.textContent = JSON.parse(event.data); });
  source.addEventListener("piece", (event) => {
    state.textContent = "answering";
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
    article.dataset.run = JSON.parse(event.data);
    end("done");
    offerDifference(article.closest(".answers"));
  });
  source.addEventListener("failed", () => end("did not work"));
  source.onopen = () => { text.data = ""; };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) end("the connection was lost");
  };
}

// Two answers that stand side by side can be compared as two runs.
function offerDifference(section) {
  const runs = [...section.querySelectorAll("[data-run]")].map((article) => article.dataset.run);
  if (runs.length < 2) return;
  const [a, b] = runs;
  const offer = section.querySelector(".differences");
  offer.querySelector("a").href = `/compare?id=${a}&id=${b}`;
  offer.hidden = false;
}

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

// Files are read here, by the browser, and sent as text.
document.addEventListener("change", (event) => {
  const into = event.target.dataset?.into;
  if (!into || !event.target.files.length) return;
  event.target.files[0].text().then((content) => { document.getElementById(into).value = content; });
});
