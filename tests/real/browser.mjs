// Two tabs of a Chromium run TinCanJS on a page of another origin, straight at LRSs and through
// Staleguard. Run by tests/real/browser, which starts everything that this needs.
//
//   node browser.mjs relay NAME=UPSTREAM...
//   node browser.mjs check --modules FOLDER --chromium FILE --profile FOLDER
//       NAME=RELAY=GUARD=LOG...

import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

const RESOURCES = {
  state: "activities/state",
  "agent profile": "agents/profile",
  "activity profile": "activities/profile",
};
const AGENT = "mailto:browser@staleguard.example";
const SECRET = "browser"; // the name and the password of Basic; the LRSs take any
const VERSION = "1.0.2"; // the newest that TinCanJS speaks
const LONGEST_URL = 2048; // TinCanJS uses the alternate request syntax from here on
const LONGEST_TARGET = 4000; // Staleguard sends it on as a plain request up to here (target-max)
const ANSWER_LIMIT = 15_000; // ms
const START_LIMIT = 10_000;
const LOG_LIMIT = 5_000;
const AGE = 10 * 24 * 3600 * 1000;

// The checks cannot be run: nothing is proven either way.
class Unable extends Error {}

// --- The relay: stands in front of each LRS, changes a little, and counts what arrives ---

// A browser keeps an answer without Cache-Control for a tenth of its document's age. So that it
// does, each document is said to have been changed ten days earlier than it was, in the form in
// which the LRS says it.
function aged(value) {
  const then = new Date(Date.parse(value) - AGE);
  if (Number.isNaN(then.getTime())) return value;
  if (/^\d{4}-/.test(value)) return then.toISOString();
  const date = then.toUTCString();
  if (!/^\w+, \d+-/.test(value)) return date;
  return date.replace(/(\d+) (\w+) (\d+)/, "$1-$2-$3").replace("GMT", "UTC");
}

// An LRS whose name ends like this lets pages read its answers and names neither ETag nor the
// preconditions to them, as a server does that was opened to pages without a thought of these.
const HIDDEN = "-hidden";

function hidden(name, value) {
  if (name === "access-control-expose-headers") return "";
  if (name !== "access-control-allow-headers") return value;
  const others = value.split(/, */).filter((field) => !/^if-(none-)?match$/i.test(field));
  return others.join(", ");
}

const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection"]);

function onward(rawHeaders, change = (name, value) => value) {
  const fields = [];
  for (let n = 0; n < rawHeaders.length; n += 2) {
    const name = rawHeaders[n];
    if (HOP_BY_HOP.has(name.toLowerCase())) continue;
    fields.push(name, change(name.toLowerCase(), rawHeaders[n + 1]));
  }
  return fields;
}

function relay(name, upstream) {
  const { hostname, port } = new URL(upstream);
  const seen = { writes: 0, forms: 0 };
  return http.createServer((request, response) => {
    if (request.url === "/seen") return response.end(JSON.stringify(seen));
    const form = request.method === "POST" ? /\?method=(.*)/.exec(request.url)?.[1] : undefined;
    if (form) seen.forms += 1;
    if (!/^(GET|HEAD|OPTIONS)$/.test(form ?? request.method)) seen.writes += 1;
    const { method, url: path } = request;
    const headers = onward(request.rawHeaders);
    const further = http.request({ hostname, port, method, path, headers, agent: false });
    further.on("response", (answer) => {
      const change = (field, value) => {
        if (field === "last-modified") return aged(value);
        return name.endsWith(HIDDEN) ? hidden(field, value) : value;
      };
      response.writeHead(answer.statusCode, onward(answer.rawHeaders, change));
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    further.on("error", () => response.destroy());
    request.pipe(further);
  });
}

async function serve(upstreams) {
  for (const text of upstreams) {
    const [name, upstream] = split(text, 2);
    const origin = await listening(relay(name, upstream));
    console.log(`${name} listening on ${origin}`);
  }
}

function listening(server) {
  return new Promise((done, failed) => {
    server.on("error", failed);
    server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`));
  });
}

// --- The page, and what its script can do ---

// Runs in the page. `read` and `save` are an application's, written with TinCanJS as it comes.
function inPage(agent, secret, version) {
  const start = (at) =>
    new TinCan.LRS({ endpoint: at, username: secret, password: secret, version });
  const call = (resource) =>
    ({ state: "State", "agent profile": "AgentProfile", "activity profile": "ActivityProfile" })[
      resource
    ];
  const named = (document) => ({
    activity: new TinCan.Activity({ id: document.activity }),
    agent: new TinCan.Agent({ mbox: agent }),
  });
  window.read = (at, { resource, key, ...document }) =>
    new Promise((done) => {
      const callback = (error, result) =>
        done({
          status: xhr.status,
          // TinCanJS makes a tag of its own where it sees none, so what it says proves nothing
          // about what the page may read.
          header: xhr.getResponseHeader("ETag"),
          etag: result?.etag ?? null,
          text: xhr.responseText,
          contents: result?.contents ?? null,
        });
      const xhr = start(at)[`retrieve${call(resource)}`](key, { ...named(document), callback });
    });
  window.save = (at, { resource, key, ...document }, contents, lastSHA1) =>
    new Promise((done) => {
      const callback = (error, xhr) => done({ status: xhr.status });
      const contentType = "application/json";
      const more = { ...named(document), contentType, lastSHA1, callback };
      start(at)[`save${call(resource)}`](key, contents, more);
    });
  window.get = async (url) => {
    const authorization = `Basic ${btoa(`${secret}:${secret}`)}`;
    const headers = { Authorization: authorization, "X-Experience-API-Version": version };
    const answer = await fetch(url, { headers });
    return { status: answer.status, text: await answer.text() };
  };
}

function pages(tincan) {
  const script = `(${inPage})(${[AGENT, SECRET, VERSION].map((text) => JSON.stringify(text))});`;
  const page =
    '<!doctype html><meta charset="utf-8"><title>TinCanJS</title><link rel="icon" href="data:,">' +
    '<script src="/tincan-min.js"></script><script src="/page.js"></script>';
  const files = {
    "/": ["text/html", page],
    "/page.js": ["text/javascript", script],
    "/tincan-min.js": ["text/javascript", tincan],
  };
  return http.createServer((request, response) => {
    const [type, body] = files[request.url] ?? [];
    response.writeHead(type ? 200 : 404, { "Content-Type": `${type ?? "text/plain"}` });
    response.end(body);
  });
}

// --- A tab ---

class Tab {
  constructor(page) {
    this.page = page;
    this.requests = [];
    page.on("request", (request) => this.requests.push(request));
  }

  read = (at, document) => this.#run("read", `${at}/xapi/`, document);

  // TinCanJS leaves out the precondition, or asks that nothing be there, if it is given no tag.
  save = (at, document, contents, tag) =>
    this.#run("save", `${at}/xapi/`, document, contents, tag ?? null);

  get = (at, document) => this.#run("get", at + target(document));

  // What the call gave, with the one request that it made and the fields of its answer.
  async #run(name, ...values) {
    this.requests.length = 0;
    const made = this.page.evaluate(
      ([name, values]) => window[name](...values),
      [name, values],
    );
    const result = await within(made, `the page's ${name}`);
    const [request, ...others] = this.requests;
    if (!request || others.length) {
      throw new Unable(`the page's ${name} made ${this.requests.length} requests instead of one`);
    }
    const response = await within(request.response(), `the answer to the page's ${name}`);
    return { ...result, request, fields: response ? await response.allHeaders() : {} };
  }
}

function within(promise, what) {
  const late = sleep(ANSWER_LIMIT, null, { ref: false }).then(() => {
    throw new Unable(`${what} was not there within ${ANSWER_LIMIT / 1000} s`);
  });
  return Promise.race([promise, late]);
}

// --- Documents ---

const run = randomUUID();

// A document that nobody else uses, with a URL longer than that if `longer` is given.
function fresh(place, resource, check, longer = 0) {
  const name = `${place.name}/${check}/${WORDS}/${run}`;
  const filling = "-long".repeat(Math.ceil(longer / 5));
  const activity = "https://staleguard.example/activities/browser";
  if (!longer) return { resource, activity, key: name };
  // State has the long name in its activity, as a course with a long address does.
  const long = name + filling;
  if (resource === "state") return { resource, activity: `${activity}/${long}`, key: "a" };
  return { resource, activity, key: long };
}

// The path and query of a document, with the parameters in TinCanJS's order and spelling: for the
// browser's cache another spelling would be another document.
function target({ resource, activity, key }) {
  const agent = JSON.stringify({ objectType: "Agent", mbox: AGENT });
  const query = {
    state: { stateId: key, activityId: activity, agent },
    "agent profile": { profileId: key, agent },
    "activity profile": { profileId: key, activityId: activity },
  }[resource];
  const pair = ([name, value]) => `${name}=${encodeURIComponent(value)}`;
  return `/xapi/${RESOURCES[resource]}?${Object.entries(query).map(pair).join("&")}`;
}

// What a form or an LRS could spoil: signs that mean something in a form, and letters beyond ASCII.
const WORDS = "50 % + 1 & 1 = 51 %2B \u00fc\u5b57";

// Spaces and a fraction of nothing: an LRS that writes JSON anew stores other bytes than it got.
const seed = (by) => `{ "by": "${by}",\n  "score": 1.0, "words": "${WORDS}" }\n`;

const sha1 = (text) => `"${createHash("sha1").update(text).digest("hex")}"`;

// --- Requests that are not a browser's ---

async function ask(at, method, path, body, fields = {}) {
  const authorization = `Basic ${Buffer.from(`${SECRET}:${SECRET}`).toString("base64")}`;
  const headers = { Authorization: authorization, "X-Experience-API-Version": VERSION, ...fields };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const signal = AbortSignal.timeout(ANSWER_LIMIT);
    const answer = await fetch(at + path, { method, headers, body, signal });
    return { status: answer.status, fields: answer.headers, text: await answer.text() };
  } catch (error) {
    throw new Unable(`${method} ${at} had no answer: ${error.cause ?? error}`);
  }
}

async function create(at, document, body) {
  const answer = await ask(at, "PUT", target(document), body, { "If-None-Match": "*" });
  if (answer.status !== 204) {
    throw new Unable(`a first PUT was answered ${answer.status}: ${answer.text.slice(0, 300)}`);
  }
}

// --- One LRS: straight is its relay, guard is the Staleguard in front of that ---

class Place {
  constructor(text) {
    [this.name, this.straight, this.guard, this.log] = split(text, 4);
  }

  // What is stored, and all that would tell a write of the same bytes.
  async stored(document) {
    const { status, text, fields } = await ask(this.straight, "GET", target(document));
    const told = [status, fields.get("ETag"), fields.get("Last-Modified"), text].join("\n");
    return { told, contents: status === 200 ? JSON.parse(text) : {} };
  }

  async seen() {
    return JSON.parse((await ask(this.straight, "GET", "/seen")).text);
  }

  // The statuses with which Staleguard answered the GETs of a document resource so far.
  statuses(resource) {
    const text = readFileSync(this.log, "utf8");
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter(Boolean);
    const entries = lines.map((line) => JSON.parse(line));
    const path = `/xapi/${RESOURCES[resource]}`;
    const reads = entries.filter((entry) => entry.method === "GET" && entry.path === path);
    return reads.map((entry) => entry.status);
  }

  // Waits for the GETs that came after the first `count`.
  async statusesAfter(count, resource, expected) {
    const deadline = Date.now() + LOG_LIMIT;
    for (;;) {
      const after = this.statuses(resource).slice(count);
      if (after.length >= expected || Date.now() > deadline) return after;
      await sleep(20);
    }
  }
}

function split(text, count) {
  const parts = text.split("=");
  if (parts.length !== count) throw new Unable(`'${text}' has not ${count} parts`);
  return parts;
}

// --- The checks ---

// What one check found at one place: a value of each kind per document resource.
class Row {
  wrong = new Map(); // a sentence, and the resources it is true of

  constructor(place, check) {
    this.place = place.name;
    this.check = check;
    this.seen = { straight: [], guarded: [] };
  }

  note(kind, value) {
    this.seen[kind].push(String(value));
  }

  expect(holds, resource, sentence) {
    if (!holds) this.wrong.set(sentence, (this.wrong.get(sentence) ?? new Set()).add(resource));
  }

  // A value that is the same on all resources is shown once.
  cell(kind) {
    const values = this.seen[kind];
    return new Set(values).size === 1 ? values[0] : values.join(" / ") || "-";
  }
}

// Where a page may not send what it wants to, or not read what comes, there is no status.
const status = (answer) => answer.status || "blocked";

function tag(answer) {
  if (answer.status !== 200) return status(answer);
  if (answer.header === null) return "hidden";
  return answer.header === sha1(answer.text) ? "SHA-1" : "other";
}

// 1. The page reads the ETag, and it is the quoted SHA-1 of what the page got.
async function readable(row, place, resource, [tab]) {
  const document = fresh(place, resource, "tag");
  await create(place.straight, document, seed("nobody"));
  row.note("straight", tag(await tab.read(place.straight, document)));
  const read = await tab.read(place.guard, document);
  row.note("guarded", tag(read));
  row.expect(read.status === 200, resource, `a read was answered ${status(read)}`);
  row.expect(read.header !== null, resource, "the page cannot read the ETag");
  const expected = sha1(read.text);
  row.expect(read.header === expected, resource, "the ETag is not the quoted SHA-1 of the body");
  row.expect(read.etag === expected, resource, "TinCanJS gives another tag");
}

// Two tabs have read a document; both save. Gives their answers and what is stored then.
async function bothSave(at, place, document, [one, two]) {
  const [first, second] = [await one.read(at, document), await two.read(at, document)];
  const won = await one.save(at, document, { ...first.contents, one: 1 }, first.etag);
  const between = { ...(await place.stored(document)), ...(await place.seen()) };
  const lost = await two.save(at, document, { ...second.contents, two: 2 }, second.etag);
  const seen = await place.seen();
  const after = { ...(await place.stored(document)), ...seen };
  return { reads: [first, second], won, between, lost, after };
}

// The same straight at the LRS: what it answered, and whether tab 1's key was lost. Gives the
// answer to tab 1.
async function contrast(row, place, document, tabs) {
  const { won, lost, after } = await bothSave(place.straight, place, document, tabs);
  const isLost = won.status === 204 && lost.status === 204 && !("one" in after.contents);
  row.note("straight", `${status(won)} ${status(lost)}${isLost ? ", update lost" : ""}`);
  return won;
}

// The lost update is refused before it reaches the LRS, and then recovered from.
async function recovers(row, place, document, tabs) {
  const { resource } = document;
  const { reads, won, between, lost, after } = await bothSave(place.guard, place, document, tabs);
  for (const read of reads) {
    row.expect(read.status === 200, resource, `a read was answered ${status(read)}`);
    row.expect(read.header === sha1(read.text), resource, "a read had not its SHA-1 as ETag");
  }
  const saved = `tab 1's save was answered ${status(won)}`;
  row.expect(won.status === 204, resource, saved);
  row.expect("one" in between.contents, resource, "tab 1's save was not stored");
  row.expect(lost.status === 412, resource, `tab 2's stale save was answered ${status(lost)}`);
  const by = lost.fields["proxy-status"] ?? "";
  row.expect(by.startsWith("staleguard"), resource, "the refusal is not Staleguard's");
  row.expect(after.writes === between.writes, resource, "tab 2's stale save reached the LRS");
  row.expect(after.told === between.told, resource, "tab 2's stale save changed the document");

  const again = await tabs[1].read(place.guard, document);
  row.expect("one" in (again.contents ?? {}), resource, "tab 2 does not see what tab 1 saved");
  const merged = { ...again.contents, two: 2 };
  const done = await tabs[1].save(place.guard, document, merged, again.etag);
  row.expect(done.status === 204, resource, `tab 2's merged save was answered ${status(done)}`);
  const { contents } = await place.stored(document);
  const kept = ["by", "one", "two"].every((key) => key in contents);
  row.expect(kept, resource, "the document has not the keys of both tabs");
  row.expect(contents.words === WORDS, resource, "the document's words were spoilt on the way");
  const statuses = [won, lost, done].map(status).join(" ");
  return { statuses, made: [...reads, won, lost, again, done] };
}

// 2. Two tabs on one document.
async function twoTabs(row, place, resource, tabs) {
  const [straight, guarded] = [fresh(place, resource, "straight"), fresh(place, resource, "tabs")];
  await create(place.straight, straight, seed("nobody"));
  await contrast(row, place, straight, tabs);
  await create(place.straight, guarded, seed("nobody"));
  row.note("guarded", (await recovers(row, place, guarded, tabs)).statuses);
}

// 3. The same where the URL is so long that TinCanJS puts everything into a form.
const formOver = (longer) => async (row, place, resource, tabs) => {
  const straight = fresh(place, resource, `straight over ${longer}`, longer);
  await create(place.straight, straight, seed("nobody"));
  const taken = await contrast(row, place, straight, tabs);

  const document = fresh(place, resource, `over ${longer}`, longer);
  const contents = JSON.parse(seed("a tab"));
  const { forms } = await place.seen();
  const created = await tabs[0].save(place.guard, document, contents);
  // Staleguard opens forms also for an LRS that refuses them, up to the longest target it sends.
  const refuses = taken.status === 400 && longer >= LONGEST_TARGET;
  const expected = refuses ? 400 : 204;
  const sentence = `a first save was answered ${status(created)} instead of ${expected}`;
  row.expect(created.status === expected, resource, sentence);
  if (created.status !== 204) return row.note("guarded", status(created));
  const made = [created];
  if (resource !== "state") {
    // TinCanJS asks that there be no profile yet, and there is one now.
    const before = await place.seen();
    const twice = await tabs[1].save(place.guard, document, { by: "another tab" });
    made.push(twice);
    row.expect(twice.status === 412, resource, `a second first save was answered ${status(twice)}`);
    const after = await place.seen();
    row.expect(after.writes === before.writes, resource, "a second first save reached the LRS");
  }
  const rest = await recovers(row, place, document, tabs);
  row.note("guarded", rest.statuses);
  for (const { request } of [...made, ...rest.made]) {
    row.expect(isAlternate(request, document), resource, "TinCanJS used no alternate syntax");
  }
  // Otherwise the two lengths would prove the same.
  const isPassedOn = (await place.seen()).forms > forms;
  const what = isPassedOn ? "forms went on to the LRS" : "no form went on to the LRS";
  row.expect(isPassedOn === (longer >= LONGEST_TARGET), resource, what);
};

// Whether a request is a POST that has everything but its method in its form, as it was sent.
function isAlternate(request, { activity, key, resource }) {
  const url = new URL(request.url());
  const form = new URLSearchParams(request.postData() ?? "");
  const isState = resource === "state";
  const named = isState ? form.get("activityId") === activity : form.get("profileId") === key;
  const method = url.search.replace("?method=", "");
  const writes = method === "PUT" && form.has("content");
  return request.method() === "POST" && named && (writes || method === "GET");
}

// 4. A second GET is answered by Staleguard and not from the browser's cache.
async function secondGet(row, place, resource, [tab, other]) {
  const document = fresh(place, resource, "second straight");
  await create(place.straight, document, seed("nobody"));
  const first = await tab.get(place.straight, document);
  await overwrite(place.straight, document, "somebody");
  const then = await tab.get(place.straight, document);
  row.note("straight", shows(then, "somebody") ? "new" : shows(first, "nobody") ? "stale" : "?");

  const guarded = fresh(place, resource, "second");
  await create(place.straight, guarded, seed("nobody"));
  const before = place.statuses(resource).length;
  const found = [];
  const sees = async (way, answer, by) => {
    const isNew = shows(answer, by);
    found.push(isNew ? "new" : "stale");
    row.expect(isNew, resource, `${way} did not give what was written last`);
  };
  await sees("a first GET", await tab.get(place.guard, guarded), "nobody");
  await overwrite(place.guard, guarded, "somebody");
  await sees("a second GET", await tab.get(place.guard, guarded), "somebody");
  await overwrite(place.guard, guarded, "a third");
  const read = await tab.read(place.guard, guarded);
  if (read.request.url() !== place.guard + target(guarded)) {
    throw new Unable(`TinCanJS read another URL than is taken for granted: ${read.request.url()}`);
  }
  await sees("TinCanJS", read, "a third");
  await sees("TinCanJS in the other tab", await other.read(place.guard, guarded), "a third");

  // One GET before each write is the writer's own. The last read of the tabs finds nothing new.
  const answered = await place.statusesAfter(before, resource, 6);
  row.expect(answered.length === 6, resource, `${answered.length} GETs of 6 arrived`);
  row.expect(answered.at(-1) === 304, resource, `an unchanged GET got ${answered.at(-1)}, not 304`);
  const last = `then ${answered.at(-1) ?? "nothing"}`;
  row.note("guarded", [...new Set(found.slice(1)), last].join(", "));
}

const shows = (answer, by) => answer.status === 200 && JSON.parse(answer.text).by === by;

// Somebody else's write, from what is there now.
async function overwrite(at, document, by) {
  const now = await ask(at, "GET", target(document));
  const fields = { "If-Match": now.fields.get("ETag") ?? "*" };
  const answer = await ask(at, "PUT", target(document), seed(by), fields);
  if (answer.status !== 204) {
    throw new Unable(`${at}: a write was answered ${answer.status}: ${answer.text.slice(0, 300)}`);
  }
}

const CHECKS = {
  "ETag readable": readable,
  "two tabs": twoTabs,
  "long URL": formOver(LONGEST_URL),
  "longer URL": formOver(LONGEST_TARGET),
  "second GET": secondGet,
};

// --- The table ---

const LEGEND = `\
ETag readable: what the page sees as ETag. Two tabs, and long URLs: what tab 1's save, tab 2's stale
one and, through Staleguard, its merged one were answered. A URL over ${LONGEST_URL} characters (long)
comes in xAPI's alternate request syntax, and one over ${LONGEST_TARGET} (longer) goes on in it too. Second
GET: what the page got after somebody else had written, and how a GET of what had not changed was
answered. A value stands for all three document resources, or one for each:
${Object.keys(RESOURCES).join(", ")}.`;

function table(rows) {
  const lines = [
    ["LRS", "check", "straight", "through Staleguard", ""],
    ...rows.map((row) => [
      row.place,
      row.check,
      row.cell("straight"),
      row.cell("guarded"),
      row.wrong.size ? "WRONG" : "ok",
    ]),
  ];
  const widths = lines[0].map((_, n) => Math.max(...lines.map((line) => line[n].length)));
  const padded = (line) => line.map((cell, n) => cell.padEnd(widths[n])).join("  ").trimEnd();
  const text = lines.map(padded);
  const rule = "-".repeat(Math.max(...text.map((line) => line.length)));
  return [text[0], rule, ...text.slice(1), rule, LEGEND].join("\n");
}

// What is wrong: a list of sentences, empty if nothing is.
function verdict(rows) {
  const wrong = rows.flatMap((row) =>
    [...row.wrong].map(([sentence, resources]) => {
      const on = [...resources].join(", ");
      return `${row.place}, ${row.check}: ${sentence} (${on})`;
    }),
  );
  const straight = (check) =>
    rows.filter((row) => row.check === check).flatMap((row) => row.seen.straight);
  const needed = {
    "ETag readable": [/hidden/, "no LRS hid its ETag: there was nothing to repair"],
    "two tabs": [/lost/, "no LRS lost an update straight: refusing them proves nothing"],
    "second GET": [/stale/, "nothing was stale straight: there was nothing to prevent"],
  };
  for (const [check, [pattern, sentence]] of Object.entries(needed)) {
    if (!straight(check).some((value) => pattern.test(value))) wrong.push(sentence);
  }
  if (!straight("ETag readable").some((value) => /SHA-1|other/.test(value))) {
    wrong.push("no LRS showed its ETag: none was left as it is");
  }
  return wrong;
}

async function check(modules, executablePath, profile, places) {
  const required = createRequire(join(modules, "package.json"));
  const { chromium } = required("playwright-core");
  const tincan = readFileSync(join(modules, "node_modules/tincanjs/build/tincan-min.js"));
  const server = pages(tincan);
  const origin = await listening(server);
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    timeout: 30_000,
    env: { ...process.env, HOME: profile },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    const tabs = [];
    for (const page of [browser.pages()[0] ?? (await browser.newPage()), await browser.newPage()]) {
      await page.goto(origin, { timeout: ANSWER_LIMIT });
      tabs.push(new Tab(page));
    }
    const rows = [];
    for (const place of places) {
      for (const [name, run] of Object.entries(CHECKS)) {
        const row = new Row(place, name);
        for (const resource of Object.keys(RESOURCES)) await run(row, place, resource, tabs);
        rows.push(row);
      }
    }
    console.log(table(rows));
    const wrong = verdict(rows);
    for (const sentence of wrong) console.log(`wrong: ${sentence}`);
    return wrong.length ? 1 : 0;
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections?.();
  }
}

// --- The command ---

async function main() {
  const options = { modules: {}, chromium: {}, profile: {} };
  for (const option of Object.values(options)) option.type = "string";
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, ...rest] = positionals;
  if (command === "relay") return serve(rest);
  if (command !== "check") throw new Unable(`unknown command '${command}'`);
  const places = rest.map((text) => new Place(text));
  process.exitCode = await check(values.modules, values.chromium, values.profile, places);
}

try {
  await main();
} catch (error) {
  console.error(`browser.mjs: ${error instanceof Unable ? error.message : error.stack}`);
  process.exit(2);
}
