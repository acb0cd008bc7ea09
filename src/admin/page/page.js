// What the page does beyond what its HTML does by itself: rows as they happen, figures anew, answers without a reload.
// Whatever comes from the server as data becomes text, never markup.
"use strict";

const MOST_ROWS = 200; // in the table, and waiting while it is paused
const FIGURES_EVERY = 5000;
const ROWS_EVERY = 250;

const byId = (id) => document.getElementById(id);
const rows = byId("rows");
const filter = byId("filter");
const pause = byId("pause");
const stream = byId("stream");

let waiting = []; // the oldest first
let missed = 0;
let state = "connecting";

// --- Decisions as they happen ---

const COLUMNS = ["time", "outcome", "why", "resource", "method", "document", "client"];

// The same row that the server writes.
function shown(row) {
  const tr = document.createElement("tr");
  tr.className = row.fate;
  for (const column of COLUMNS) {
    const td = tr.insertCell();
    if (column === "outcome" || column === "client") td.className = column;
    if (column === "document" && row.document) {
      const a = document.createElement("a");
      a.href = `/?document=${encodeURIComponent(row.document)}#lookup`;
      a.textContent = `#${row.document}`;
      td.append(a);
    } else {
      td.textContent = row[column] ?? "";
    }
  }
  return tr;
}

function asked() {
  const { resource, outcome, text } = filter.elements;
  return { resource: resource.value, outcome: outcome.value, text: text.value.trim() };
}

function fits(row, { resource, outcome, text }) {
  const has = (own) => (own ?? "").toLowerCase().includes(text.toLowerCase());
  return (
    (!resource || resource === row.resource) &&
    (!outcome || outcome === row.fate) &&
    [row.client, row.why, row.outcome, row.method, row.document].some(has)
  );
}

const isPaused = () => pause.getAttribute("aria-pressed") === "true";

function say() {
  const parts = [isPaused() ? `paused, ${waiting.length} new` : state];
  if (missed) parts.push(`${missed} more came too fast to be shown`);
  const text = parts.join("; ");
  if (stream.textContent !== text) stream.textContent = text;
}

function flush() {
  if (!isPaused() && waiting.length) {
    const filtered = asked();
    const fresh = waiting.filter((row) => fits(row, filtered)).map(shown).reverse();
    waiting = [];
    if (fresh.length) {
      rows.querySelector(".none")?.parentElement.remove();
      const held = document.activeElement;
      rows.prepend(...fresh);
      while (rows.rows.length > MOST_ROWS && !rows.lastElementChild.contains(held)) {
        rows.lastElementChild.remove();
      }
    }
  }
  say();
}

function follow() {
  const source = new EventSource("/decisions/events");
  source.addEventListener("open", () => {
    state = "live";
    // What came while nobody followed is on record.
    if (!isPaused()) refilter();
  });
  source.addEventListener("error", () => {
    state = source.readyState === EventSource.CLOSED ? "not live: reload the page to follow again" : "connecting";
  });
  source.addEventListener("decision", (event) => {
    waiting.push(JSON.parse(event.data).row);
    if (waiting.length > MOST_ROWS) missed += waiting.splice(0, waiting.length - MOST_ROWS).length;
  });
  source.addEventListener("missed", (event) => {
    missed += JSON.parse(event.data).missed;
  });
  setInterval(flush, ROWS_EVERY);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  const paused = !isPaused();
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Resume" : "Pause";
  flush();
});

// --- The page anew ---

async function fetched(url, options) {
  const answer = await fetch(url, { cache: "no-store", ...options });
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const searched = (values) => "/?" + new URLSearchParams(values);

// What is on record that fits, instead of what is shown.
let filtering = 0;
async function refilter() {
  const turn = ++filtering;
  const page = await fetched(searched(asked())).catch(() => null);
  const fresh = page?.getElementById("rows");
  if (!fresh || turn !== filtering) return;
  waiting = [];
  rows.replaceChildren(...fresh.children);
}

filter.addEventListener("submit", (event) => {
  event.preventDefault();
  refilter();
});
filter.addEventListener("input", () => refilter());

async function refigure() {
  if (document.hidden) return;
  const page = await fetched("/").catch(() => null);
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page?.getElementById(old.id);
    // Whoever is on something there is not thrown off it.
    if (fresh && !old.contains(document.activeElement)) old.replaceChildren(...fresh.childNodes);
  }
}

// --- Answers without a reload ---

for (const form of document.querySelectorAll("form[data-swap]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const swap = form.dataset.swap;
    const page = await fetched(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) })
      .catch(() => null);
    const fresh = page?.getElementById(swap);
    if (fresh) byId(swap).replaceChildren(...fresh.childNodes);
    else byId(swap).textContent = "There was no answer.";
  });
}

follow();
setInterval(refigure, FIGURES_EVERY);
