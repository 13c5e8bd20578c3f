// Shows what GET /status says, once a second. Only textContent: names come from outside.

const POLL_MS = 1000;
const TIMEOUT_MS = 3000;
const GONE_MS = 2900; // three polls a second apart that failed, or one that timed out
const CHECKS = { kafka: "Kafka", postgres: "PostgreSQL", pipeline: "Pipeline" };
const ENDED = {
  DONE: ["good", "The pipeline is done: it has ended, and everything that it read is committed."],
  FAILED: ["bad", "The pipeline has failed. Its log says why."],
  CANCELLED: ["warn", "The pipeline was cancelled."],
};
const NOTHING = "–";

const integer = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const decimal = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const $ = (id) => document.getElementById(id);
const number = (value, format = integer) => (value === null ? NOTHING : format.format(value));

let app = "Clearance reconciliation";
let failingSince = null; // start of the first request in a row that failed
let lastCounts = null;

/** Write only what changed: a live region speaks every write, and a selection is lost by it. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setTone(element, tone) {
  if (tone) element.dataset.tone = tone;
  else delete element.dataset.tone;
}

function duration(secs) {
  if (secs < 60) return `${Math.floor(secs)} s`;
  if (secs < 3600) return `${Math.floor(secs / 60)} min`;
  if (secs < 172800) return `${Math.floor(secs / 3600)} h`;
  return `${Math.floor(secs / 86400)} d`;
}

function age(time, now) {
  return `${duration(Math.max(0, now - Date.parse(time)) / 1000)} ago`;
}

function words(name) {
  const text = name.replaceAll("_", " ").toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Most reasons say themselves of whom they speak. */
function reasonText(name, reason) {
  const text = reason ?? "not OK, no reason given";
  const isNamed = text.toLowerCase().includes(name.toLowerCase());
  return isNamed ? text.charAt(0).toUpperCase() + text.slice(1) : `${name}: ${text}`;
}

/** Fill a table row by row in place; `share` (0 to 1) is the bar behind a row. */
function fillTable(id, rows) {
  const table = $(id).querySelector("table");
  const body = table.tBodies[0];
  table.hidden = rows.length === 0;
  $(id).querySelector(".empty").hidden = rows.length > 0;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach(({ cells, share = 0, hint = "" }, index) => {
    const row = body.rows[index] ?? body.insertRow();
    cells.forEach((text, column) => setText(row.cells[column] ?? row.insertCell(), text));
    row.style.setProperty("--share", share);
    row.title = hint;
  });
}

function countRows(counts) {
  const largest = Math.max(1, ...Object.values(counts));
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([name, count]) => ({ cells: [name, number(count)], share: count / largest }));
}

function showState(status) {
  const failed = Object.entries(status.checks).filter(([, check]) => !check.ok);
  const reasons = failed.map(([name, { reason }]) => reasonText(CHECKS[name] ?? name, reason));
  const running = status.state === "RUNNING";
  let [tone, text] = [status.state === "FAILED" ? "bad" : null, words(status.state)];
  if (running) [tone, text] = status.ready ? ["good", text] : ["warn", `${text}, not ready`];
  setText($("state"), text);
  setTone($("state"), tone);
  document.title = `${text} · ${app}${status.env && ` (${status.env})`}`;

  const [endTone, endText] = ENDED[status.state] ?? [null, ""];
  setText($("ended"), endText);
  setTone($("ended"), endTone);
  $("ended").hidden = !endText;
  while ($("reasons").children.length > reasons.length) $("reasons").lastElementChild.remove();
  reasons.forEach((reason, index) => {
    const item = $("reasons").children[index];
    setText(item ?? $("reasons").appendChild(document.createElement("li")), reason);
  });
  $("reasons").hidden = reasons.length === 0 || Boolean(endText);
}

function showGraph({ counts, steps, checks }) {
  const edges = { ...counts, write: counts.read - counts.skipped };
  for (const element of document.querySelectorAll("[data-count]")) {
    const name = element.dataset.count;
    setText(element, number(edges[name]));
    element.parentElement.classList.toggle("flowing", lastCounts !== null && edges[name] > lastCounts[name]);
  }
  lastCounts = edges;
  steps.slice(0, 3).forEach((name, index) => setText($(`step-${index}`), name));
  setTone(document.querySelector(".at-kafka"), checks.kafka.ok ? null : "bad");
  setTone(document.querySelector(".at-write"), checks.postgres.ok ? null : "bad");
  setTone(document.querySelector(".at-dead"), counts.dead > 0 ? "bad" : null);
}

function showCheck(id, { ok, reason }) {
  setText($(id), ok ? "OK" : `Not OK: ${reason ?? "no reason given"}`);
  setTone($(id), ok ? "good" : "bad");
}

function show(status, now) {
  app = status.app;
  setText($("app"), app);
  setText($("env"), status.env);
  $("env").hidden = !status.env;
  const version = status.version && `version ${status.version}`;
  const job = status.job && `job ${status.job}`;
  const parts = [status.runner, version, job, `up ${duration(status.uptime_secs)}`];
  setText($("deployment"), parts.filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · "));
  showState(status);
  showGraph(status);

  setText($("rate"), number(status.events_per_sec, decimal));
  setText($("lag"), number(status.lag));
  setText($("latency-p50"), number(status.latency_ms.p50, decimal));
  setText($("latency-p99"), number(status.latency_ms.p99, decimal));
  setText($("last-commit"), status.last_commit === null ? NOTHING : age(status.last_commit, now));
  $("last-commit").dateTime = status.last_commit ?? "";
  $("last-commit").title = status.last_commit === null ? "" : clock.format(new Date(status.last_commit));

  showCheck("kafka-state", status.checks.kafka);
  showCheck("postgres-state", status.checks.postgres);
  setText($("brokers"), status.kafka.brokers.join("\n"));
  setText($("topics"), status.kafka.topics.join("\n"));
  setText($("group"), status.kafka.group_id);
  setText($("server"), `${status.database.host}, port ${status.database.port}`);
  setText($("database"), status.database.name);

  const most = Math.max(1, ...status.partitions.map(({ lag }) => lag));
  fillTable("partitions", status.partitions.map(({ topic, partition, lag }) => (
    { cells: [topic, String(partition), number(lag)], share: lag / most }
  )));
  fillTable("skipped", countRows(status.skipped));
  fillTable("dead-letters", countRows(status.dead_letters));
  // An offset goes into a command as it is: no thousands separators.
  fillTable("newest-dead-letters", status.newest_dead_letters.map((letter) => ({
    cells: [
      letter.code,
      `${letter.topic}, partition ${letter.partition}, offset ${letter.offset}`
        + (letter.request_id ? `\nrequest ${letter.request_id}` : ""),
      age(letter.last_seen_at, now),
    ],
    hint: clock.format(new Date(letter.last_seen_at)),
  })));
}

function showAnswer(isThere, why = "") {
  document.body.classList.toggle("stale", !isThere);
  if (isThere) {
    $("gone").hidden = true;
    setText($("answered"), `Answered ${clock.format(new Date())}`);
    return;
  }
  const since = clock.format(new Date(failingSince));
  setText($("gone-since"), `The pipeline does not answer (since ${since}).`);
  setText($("gone-why"), `${why} The figures are from before.`);
  $("gone").hidden = false;
  $("reasons").hidden = true;
  for (const id of ["kafka-state", "postgres-state"]) {
    setText($(id), "Unknown");
    setTone($(id), null);
  }
  setText($("state"), "No answer");
  setTone($("state"), "bad");
  document.title = `No answer · ${app}`;
  for (const edge of document.querySelectorAll(".flowing")) edge.classList.remove("flowing");
}

/** Return what /status says, and the server's time: this machine's clock may be off. */
async function ask() {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch("./status", { cache: "no-store", signal: abort.signal });
    if (!response.ok) throw new Error(`It answers HTTP ${response.status}.`);
    return [await response.json(), Date.parse(response.headers.get("Date")) || Date.now()];
  } catch (error) {
    if (error.name === "AbortError") throw new Error(`No answer within ${TIMEOUT_MS / 1000} s.`);
    throw error instanceof TypeError ? new Error("No connection.") : error;
  } finally {
    clearTimeout(timer);
  }
}

async function poll() {
  const started = Date.now();
  let answer = null;
  try {
    answer = await ask();
  } catch (error) {
    failingSince ??= started;
    if (Date.now() - failingSince >= GONE_MS) showAnswer(false, error.message);
  }
  setTimeout(poll, POLL_MS); // before anything is shown, which must not end the polling
  if (answer) {
    failingSince = null;
    showAnswer(true);
    show(...answer);
  }
}

poll();
