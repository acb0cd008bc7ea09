// The checks of tests/real/page: the page of the admin listener in a real browser, under load.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const PATIENCE = 20_000;
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
const HOSTILE = '"><img src=x onerror="document.title=1">';

const options = {};
for (const name of ["modules", "chromium", "profile", "guard", "admin", "token", "screenshots"]) {
  options[name] = { type: "string" };
}
const { values: given } = parseArgs({ options });
const required = createRequire(join(given.modules, "package.json"));
const { chromium } = required("playwright-core");
const axe = readFileSync(join(given.modules, "node_modules/axe-core/axe.min.js"), "utf8");

const wrong = [];
const check = (holds, sentence) => {
  console.log(`${holds ? "ok   " : "WRONG"} ${sentence}`);
  if (!holds) wrong.push(sentence);
};

// --- Writers ---

const agent = (n) => encodeURIComponent(JSON.stringify({ mbox: `mailto:learner${n}@example.com` }));
const activity = encodeURIComponent("http://example.com/course");
const TARGETS = {
  state: (n) => `/xapi/activities/state?activityId=${activity}&agent=${agent(n)}&stateId=resume`,
  "agent-profile": (n) => `/xapi/agents/profile?agent=${agent(n)}&profileId=p`,
  "activity-profile": (n) => `/xapi/activities/profile?activityId=${activity}&profileId=p${n}`,
};
const WRITERS = [
  { "User-Agent": "TinCanJS/0.50", Origin: "https://courses.example", Authorization: "Basic YTph" },
  { "User-Agent": "Moodle/4.2 (core_xapi)", Authorization: "Basic Yjpi" },
  { "User-Agent": HOSTILE, Origin: HOSTILE, "X-Request-Id": HOSTILE, Authorization: "Basic Yzpj" },
];

async function write(resource, n, who, stated) {
  const fields = { "X-Experience-API-Version": "1.0.3", "Content-Type": "application/json", ...WRITERS[who], ...stated };
  const body = JSON.stringify({ n, who, at: Math.random() });
  const answer = await fetch(given.guard + TARGETS[resource](n), { method: "PUT", headers: fields, body });
  await answer.arrayBuffer();
  return answer.status;
}

// The LRS makes no profile for those who do not say that there is none yet.
async function seed() {
  for (let n = 0; n < 4; n++) {
    for (const resource of Object.keys(TARGETS)) await write(resource, n, 0, { "If-None-Match": "*" });
  }
}

async function writeAll(rounds) {
  for (let round = 0; round < rounds; round++) {
    for (const resource of Object.keys(TARGETS)) {
      for (const who of WRITERS.keys()) await write(resource, round % 4, who, {});
    }
    await write("state", round % 4, 0, { "If-Match": '"stale"' });
  }
}

// --- The browser ---

async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  let value;
  while (Date.now() < end) {
    value = await holds();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  check(false, `${what}: waited in vain`);
  return value;
}

const shown = (page) => page.$$eval("#rows tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
const RESOURCE = 3;
const OUTCOME = 1;

// Moves with Tab until an element has the focus, as somebody without a mouse does.
async function tabTo(page, selector) {
  for (let n = 0; n < 120; n++) {
    if (await page.evaluate((selector) => document.activeElement?.matches(selector), selector)) return true;
    await page.keyboard.press("Tab");
  }
  return false;
}

async function live(page) {
  await until("the stream", async () => (await page.textContent("#stream")).startsWith("live"));
  const before = await shown(page);
  await write("activity-profile", 77, 0, { "If-None-Match": "*" });
  await write("state", 77, 1, {});
  const rows = await until("live rows", async () => {
    const rows = await shown(page);
    return rows.length >= Math.min(before.length + 2, 200) && rows[0][RESOURCE] === "state" && rows;
  });
  check(rows?.[0]?.[6].startsWith("Moodle") && rows?.[1]?.[RESOURCE] === "activity-profile", "rows appear by themselves, the newest first");

  // Under load: rows go on coming, and no more of them are kept than a person reads.
  await writeAll(30);
  const many = await until("rows under load", async () => {
    const rows = await shown(page);
    return rows.length === 200 && rows;
  });
  check(many?.length === 200, "under load rows come and the table stays bounded");
}

async function keyboard(page, token) {
  await page.goto(given.admin, { timeout: PATIENCE });
  await page.keyboard.press("Tab");
  check(await page.evaluate(() => document.activeElement.className === "skip"), "the first Tab offers to skip to the decisions");

  check(await tabTo(page, "select[name=resource]"), "the filter is reached with Tab");
  await page.keyboard.press("a"); // all resources
  await page.keyboard.type("agent-profile");
  const only = await until("the filter by resource", async () => {
    const rows = await shown(page);
    return rows.length > 0 && rows.every((row) => row[RESOURCE] === "agent-profile") && rows;
  });
  check(Boolean(only), "the filter by resource works with the keyboard");

  check(await tabTo(page, "input[name=text]"), "the filter by text is reached with Tab");
  await page.keyboard.type("moodle");
  await until("the filter by text", async () => (await shown(page)).every((row) => row[6].startsWith("Moodle")));
  // What comes while it is filtered is filtered too.
  await write("agent-profile", 3, 0, {});
  await write("agent-profile", 3, 1, {});
  await until("a filtered row", async () => (await shown(page)).length > 0);
  const rows = await shown(page);
  check(rows.every((row) => row[6].startsWith("Moodle") && row[RESOURCE] === "agent-profile"), "rows that come are filtered");

  check(await tabTo(page, "#pause"), "Pause is reached with Tab");
  await page.keyboard.press("Space");
  const held = await shown(page);
  await write("agent-profile", 3, 1, {});
  await until("the count of what waits", async () => /paused, [1-9]/.test(await page.textContent("#stream")));
  check(JSON.stringify(await shown(page)) === JSON.stringify(held), "while it is paused no row comes");
  await page.keyboard.press("Space");
  const resumed = await until("what waited", async () => (await shown(page)).length > held.length);
  check(Boolean(resumed), "what came meanwhile is shown then");

  check(await tabTo(page, "#try-form input[name=target]"), "the form to try a request is reached with Tab");
  await page.keyboard.type(TARGETS["activity-profile"](1));
  await page.keyboard.press("Enter");
  const tried = await until("an answer", () => page.textContent("#try-answer pre").catch(() => null));
  check(/409/.test(tried ?? ""), "a request is tried with the keyboard");

  await page.keyboard.press("Home");
  await page.focus(".skip");
  check(await tabTo(page, "#lookup-form input[name=target]"), "the form to look up is reached with Tab");
  await page.keyboard.type(TARGETS.state(1));
  await page.keyboard.press("Enter");
  const refused = await until("a refusal", () => page.textContent("#lookup-answer .problem").catch(() => null));
  check(/token/.test(refused ?? ""), "without the token nobody is looked up by target");
  check(await tabTo(page, "#lookup-form input[name=token]"), "the token is reached with Tab");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  const found = await until("what was found", async () => {
    const text = await page.textContent("#lookup-answer");
    return /writes on record/.test(text) && text;
  });
  check(/its tag was "/.test(found ?? ""), "with it the tag and the last writes are shown");
  check(!page.url().includes("learner") && !page.url().includes("token"), "nothing of that is in the URL");
}

// What axe-core finds that is serious.
async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => (await globalThis.axe.run()).violations);
  const serious = found.filter(({ impact }) => impact === "serious" || impact === "critical");
  for (const { id, nodes } of serious) console.log(`      ${id}: ${nodes.map((node) => node.target).join(", ")}`);
  check(serious.length === 0, `${name}: axe-core finds nothing serious (${found.length} in all)`);
}

async function looks(browser) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [device, viewport] of Object.entries({ desk: DESK, phone: PHONE })) {
      const context = await browser.newContext({ colorScheme, viewport });
      const page = await context.newPage();
      await page.goto(`${given.admin}/`, { timeout: PATIENCE });
      await until("the stream", async () => (await page.textContent("#stream")).startsWith("live"));
      const name = `${device}, ${colorScheme}`;
      await accessible(page, name);
      const [width, height] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]);
      check(width <= viewport.width, `${name}: nothing is wider than the screen (${width})`);
      if (device === "desk") check(height <= viewport.height, `${name}: it is one screen (${height})`);
      const back = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const isDark = back.match(/\d+/g).slice(0, 3).every((part) => Number(part) < 64);
      check(isDark === (colorScheme === "dark"), `${name}: its colours are those of the scheme (${back})`);
      if (given.screenshots) {
        await page.screenshot({ path: join(given.screenshots, `${device}-${colorScheme}.png`), fullPage: device === "phone" });
      }
      await context.close();
    }
  }
}

async function withoutScript(browser) {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: DESK });
  const page = await context.newPage();
  await page.goto(`${given.admin}/?resource=activity-profile&outcome=refused`, { timeout: PATIENCE });
  const rows = await page.locator("#rows tr").allTextContents();
  check(rows.length > 0 && rows.every((row) => row.includes("409")), "without JavaScript decisions are filtered");
  check(/\d %/.test(await page.locator("#forecast .figure").textContent()), "without JavaScript the figures are there");
  const head = await page.locator("#state").textContent();
  check(/configuration .*loaded 20.*\d held, \d+ waiting.*unsettled scopes \d.*foreign writes \d/.test(head), `without JavaScript the state is there (${head})`);
  await page.fill("#try-form input[name=target]", TARGETS["activity-profile"](1));
  await page.click("#try-form button");
  check(/409/.test(await page.locator("#try-answer").textContent()), "without JavaScript a request is tried");
  await page.click("#hot tbody a >> nth=0");
  check(/writes on record/.test(await page.locator("#lookup-answer").textContent()), "without JavaScript a document is looked up by its hash");
  await context.close();
}

async function main() {
  const token = readFileSync(given.token, "utf8").trim();
  const browser = await chromium.launch({
    executablePath: given.chromium,
    headless: true,
    timeout: 30_000,
    env: { ...process.env, HOME: given.profile },
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
    await seed();
    await writeAll(8);
    const context = await browser.newContext({ viewport: DESK });
    const page = await context.newPage();
    const complaints = [];
    const elsewhere = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    // A refused form is told in the console too, and on the page.
    page.on("console", (message) => {
      if (message.type() === "error" && !/status of 40[13]/.test(message.text())) complaints.push(message.text());
    });
    page.on("request", (request) => request.url().startsWith(given.admin) || elsewhere.push(request.url()));
    await page.goto(given.admin, { timeout: PATIENCE });
    await live(page);
    const writes = async () => Number(await page.textContent("#writers-table td.number >> nth=0"));
    const before = await writes();
    await writeAll(1);
    check(Boolean(await until("fresh figures", async () => (await writes()) > before)), "figures are shown anew by themselves");
    await keyboard(page, token);
    check((await page.title()) === "Staleguard", "what clients say runs nothing");
    check(complaints.length === 0, `the browser complains of nothing${complaints.map((text) => `: ${text}`)}`);
    check(elsewhere.length === 0, `nothing is asked of anybody else${elsewhere}`);
    await context.close();
    await withoutScript(browser);
    await looks(browser);
  } finally {
    await browser.close();
  }
  process.exitCode = wrong.length ? 1 : 0;
}

try {
  await main();
} catch (error) {
  console.error(`page.mjs: ${error.stack}`);
  process.exit(2);
}
