"use strict";
// Draws the report from the JSON in the page. Nothing is fetched; texts from logs are only ever set as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const COLOURS = ["#3b6fb6", "#d1732c", "#3f8f57", "#b5484a", "#7d62b0", "#86604f", "#c566a0", "#6f7780", "#9b962b", "#2f9aa6"];
const RATINGS = ["#a3261f", "#c9582b", "#b98a1b", "#6c9440", "#2d7d4f"];
const ROOMS = ["#b9cfe8", "#f0cfae", "#bfe0c8", "#e6c0c1", "#d3c8e8", "#dccdc3", "#efcbe0", "#c9e4e7"];
const hidden = new Set(data.assistants.filter((row) => row.utility.mean !== null && row.utility.mean < -2).map((row) => row.name));

function html(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const label = (row) => row.name + (row.privileged ? "*" : "");
const colour = (name) => COLOURS[data.assistants.findIndex((row) => row.name === name) % COLOURS.length];
const clock = (minute) => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(Math.floor(minute % 60)).padStart(2, "0")}`;

function number(value, percent) {
  if (value === null || value === undefined) return "–";
  if (percent) return `${Math.round(100 * value)}%`;
  return Math.abs(value) >= 20 ? value.toFixed(1) : value.toFixed(2);
}

function ranked() {
  const worth = (row) => (row.utility.mean === null ? -Infinity : row.utility.mean);
  return [...data.assistants].sort((a, b) => worth(b) - worth(a));
}

function drawTable() {
  const head = html("tr", {}, html("th", {}, "assistant"), html("th", { title: "= is a tie: not told apart from a neighbour" }, "rank"),
    ...data.columns.map((column) => html("th", { title: column.about }, column.name)));
  const rows = ranked().map((row) => html("tr", {},
    html("td", {}, html("span", { class: "dot", style: `background:${colour(row.name)}` }), label(row)),
    html("td", {}, row.rank === null ? "–" : `${row.rank}${row.tied ? "=" : ""}`),
    ...data.columns.map((column) => {
      const value = row[column.key], cell = html("td", {}, number(value.mean, column.percent));
      const between = value.low === null ? `n=${value.n}` : `${number(value.low, column.percent)}..${number(value.high, column.percent)}`;
      if (value.mean !== null) cell.append(html("small", {}, between));
      return cell;
    })));
  byId("table").append(html("thead", {}, head), html("tbody", {}, ...rows));
}

function drawPairs() {
  byId("detectable").textContent = data.detectable;
  if (!data.pairs.length) return;
  const names = ["first", "second", "difference in", "interval", "p", "P(better)", "detectable", "verdict"];
  const signed = (value) => (value > 0 ? "+" : "") + number(value);
  const rows = data.pairs.map((pair) => html("tr", {}, ...[pair.first, pair.second,
    pair.difference.mean === null ? "–" : signed(pair.difference.mean),
    pair.low_holm === null ? "–" : `${signed(pair.low_holm)}..${signed(pair.high_holm)}`,
    pair.p_holm === null ? "–" : pair.p_holm.toFixed(3), number(pair.probability_of_improvement.mean, true),
    number(pair.minimum_detectable), pair.verdict].map((text) => html("td", {}, text))));
  names[2] += ` ${data.pairs[0].by}`;
  byId("pairs").append(html("thead", {}, html("tr", {}, ...names.map((name) => html("th", {}, name)))), html("tbody", {}, ...rows));
  byId("pairs-hint").hidden = false;
}

function drawLegend() {
  byId("legend").replaceChildren(...ranked().map((row) => {
    const button = html("button", { type: "button", "aria-pressed": String(!hidden.has(row.name)) },
      html("span", { class: "dot", style: `background:${colour(row.name)}` }), label(row));
    button.addEventListener("click", () => {
      if (!hidden.delete(row.name)) hidden.add(row.name);
      drawLegend();
      drawCurves();
    });
    return button;
  }));
}

// Round steps that divide a range in about so many parts.
function steps(low, high, parts) {
  const raw = Math.max(high - low, 1e-9) / parts, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw - 1e-12);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9; value += step) found.push(Number(value.toFixed(6)));
  return found;
}

function curve(title, key, low, high) {
  const W = 420, H = 250, left = 38, right = 8, top = 8, bottom = 26;
  const shown = data.assistants.filter((row) => !hidden.has(row.name));
  const bands = shown.map((row) => row[key].map((point) => (Array.isArray(point) ? point : [point, point, point])));
  const values = bands.flat().map((point) => point[0]).filter((value) => value !== null);
  const from = Math.min(low, ...values), to = Math.max(high, ...values);
  const days = data.assistants[0][key].length;
  const x = (day) => left + (days < 2 ? 0.5 : day / (days - 1)) * (W - left - right);
  const y = (value) => H - bottom - ((Math.min(Math.max(value, from), to) - from) / (to - from)) * (H - top - bottom);
  const chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title });
  for (const value of steps(from, to, 5)) {
    chart.append(svg("line", { class: "grid", x1: left, x2: W - right, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  for (let day = 0; day < days; day += Math.max(1, Math.ceil(days / 10))) {
    chart.append(svg("text", { x: x(day), y: H - 8, "text-anchor": "middle" }, String(day + 1 + data.first_day)));
  }
  shown.forEach((row, k) => {
    const known = bands[k].map((point, day) => [day, ...point]).filter((point) => point[1] !== null);
    const bounded = known.filter((point) => point[2] !== null);
    if (bounded.length > 1) {
      const upper = bounded.map((p) => `${x(p[0])},${y(p[3])}`), lower = bounded.map((p) => `${x(p[0])},${y(p[2])}`).reverse();
      chart.append(svg("polygon", { points: [...upper, ...lower].join(" "), fill: colour(row.name), opacity: 0.13 }));
    }
    const line = svg("polyline", { points: known.map((p) => `${x(p[0])},${y(p[1])}`).join(" "), fill: "none",
      stroke: colour(row.name), "stroke-width": 2, "stroke-dasharray": row.privileged ? "5 4" : "none" });
    chart.append(line);
    for (const p of known) {
      const spot = svg("circle", { cx: x(p[0]), cy: y(p[1]), r: days < 40 ? 3 : 1.5, fill: colour(row.name) });
      spot.append(svg("title", {}, `${label(row)}, day ${p[0] + 1 + data.first_day}: ${number(p[1])}`
        + (p[2] === null || p[2] === p[3] ? "" : ` (${number(p[2])}..${number(p[3])})`)));
      chart.append(spot);
    }
  });
  return html("figure", {}, html("figcaption", {}, title), chart);
}

function drawCurves() {
  byId("curves").replaceChildren(
    curve("Utility by day (silence 0, oracle 1)", "utility_by_day", 0, 1),
    curve("Delivered score by day (mean rating, 0–4)", "delivered_by_day", 0, 4),
    curve("Recommendations a day", "recommendations_by_day", 0, 6));
}

function drawMarks() {
  byId("marks").replaceChildren(...data.dimensions.map((name, k) => {
    const rows = ranked().filter((row) => row.marks[k] !== null);
    const W = 300, line = 20, names = 112;
    const chart = svg("svg", { viewBox: `0 0 ${W} ${rows.length * line + 6}`, role: "img", "aria-label": name });
    rows.forEach((row, i) => {
      const y = i * line, width = (W - names - 42) * row.marks[k], text = label(row);
      chart.append(
        svg("text", { x: names - 8, y: y + 15, "text-anchor": "end" }, text.length > 18 ? `${text.slice(0, 17)}…` : text,
          svg("title", {}, text)),
        svg("rect", { x: names, y: y + 4, width, height: 13, rx: 2, fill: colour(row.name) }),
        svg("text", { class: "strong", x: names + width + 5, y: y + 15 }, number(row.marks[k], true)));
    });
    return html("figure", {}, html("figcaption", {}, name), chart);
  }));
}

function person() { return data.residents[Number(byId("resident").value)]; }

function drawDay() {
  const who = person(), day = Number(byId("day").value), plan = who.days[day];
  byId("date").textContent = `Day ${day + 1}, ${plan.date}`;
  const known = byId("person").querySelector("details");
  const rules = Object.entries(who.rubric).map(([title, text]) => html("p", {}, html("b", {}, `${title.replaceAll("_", " ")}: `), text));
  const summary = `${who.name}, ${who.age}, ${who.occupation}; wants about ${number(who.per_day)} a day`;
  byId("person").replaceChildren(html("details", known && known.open ? { open: "" } : {},
    html("summary", {}, summary), html("p", {}, who.background), ...rules));
  const names = ranked().map((row) => row.name).filter((name) => who.said[name]);
  const W = 1080, left = 170, lane = 34, top = 22, plans = 40, H = top + plans + 16 + names.length * lane;
  const x = (minute) => left + (minute / 1440) * (W - left - 10);
  const chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "the day of the resident" });
  for (let hour = 0; hour < 24; hour += 2) {
    chart.append(svg("line", { class: "grid", x1: x(hour * 60), x2: x(hour * 60), y1: top - 4, y2: H }),
      svg("text", { x: x(hour * 60), y: 12, "text-anchor": "middle" }, clock((hour * 60) % 1440)));
  }
  const kinds = [...new Set(who.days.flatMap((one) => one.activities.map((activity) => activity[1])))].sort();
  plan.activities.forEach((activity, i) => {
    const [start, kind, text, room] = activity, end = i + 1 < plan.activities.length ? plan.activities[i + 1][0] : 1440;
    const fill = kind === "sleep" ? "var(--sleep)" : ROOMS[kinds.indexOf(kind) % ROOMS.length];
    const block = svg("rect", { x: x(start), y: top, width: Math.max(x(end) - x(start) - 1, 1), height: plans - 10, rx: 2, fill });
    block.append(svg("title", {}, `${clock(start)}–${clock(end % 1440)} ${text} (${room.replaceAll("_", " ")})`));
    chart.append(block);
  });
  chart.append(svg("text", { x: left - 10, y: top + 19, "text-anchor": "end" }, "the resident"));
  names.forEach((name, k) => {
    const y = top + plans + 8 + k * lane, said = who.said[name][day];
    const row = data.assistants.find((one) => one.name === name), text = label(row);
    chart.append(svg("text", { class: "strong", x: left - 10, y: y + 18, "text-anchor": "end" },
      text.length > 25 ? `${text.slice(0, 24)}…` : text, svg("title", {}, text)));
    for (const [start, end, topic, id] of plan.needs) {
      const met = said.texts.some((one) => one.serves.includes(id));
      const window = svg("rect", { x: x(start), y: y + 2, width: x(end) - x(start), height: lane - 8, rx: 3, stroke: colour(name),
        fill: met ? colour(name) : "none", "fill-opacity": 0.25, "stroke-dasharray": met ? "none" : "3 3" });
      window.append(svg("title", {}, `${clock(start)}–${clock(end)} ${topic} is wanted: ${met ? "met" : "missed"}`));
      chart.append(window);
    }
    for (const one of said.texts) {
      const rating = one.marks === null ? null : bits(one.marks);
      const spot = svg("g", {}, svg("circle", { cx: x(one.minute), cy: y + lane / 2 - 2, r: 8,
        fill: rating === null ? "#777777" : RATINGS[rating] }),
        svg("text", { x: x(one.minute), y: y + lane / 2 + 2, "text-anchor": "middle", style: "fill:#fff;font-weight:600" },
          rating === null ? "?" : String(rating)));
      spot.append(svg("title", {}, `${clock(one.minute)} ${one.text}`));
      chart.append(spot);
    }
    if (said.more) chart.append(svg("text", { x: W - 12, y: y + lane - 6, "text-anchor": "end" }, `and ${said.more} more`));
  });
  byId("timeline").replaceChildren(chart);
  drawTexts(names, who, day);
}

function bits(marks) { return [0, 1, 2, 3].filter((k) => (marks >> k) & 1).length; }

function drawTexts(names, who, day) {
  const rows = names.flatMap((name) => who.said[name][day].texts.map((one) => {
    const rating = one.marks === null ? null : bits(one.marks);
    const badge = html("span", { class: "rating", style: `background:${rating === null ? "#777777" : RATINGS[rating]}` },
      rating === null ? "?" : String(rating));
    const why = html("td", {});
    one.reasons.forEach((reason, k) => {
      const given = one.marks !== null && (one.marks >> k) & 1;
      if (reason) why.append(html("div", given ? {} : { class: "no" }, `${given ? "✓" : "✗"} ${data.dimensions[k]}: ${reason}`));
    });
    return html("tr", {}, html("td", {}, html("span", { class: "dot", style: `background:${colour(name)}` }), name),
      html("td", {}, clock(one.minute)), html("td", {}, badge), html("td", {}, one.text), why);
  }));
  const head = html("tr", {}, ...["assistant", "time", "", "what was said", "why it was rated so"].map((text) => html("th", {}, text)));
  byId("texts").replaceChildren(rows.length ? html("details", { open: "" }, html("summary", {}, `${rows.length} texts of this day`),
    html("div", { class: "wide" }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows)))) : html("p", {}, "Nothing was said on this day."));
}

function drawResidents() {
  data.residents.forEach((who, k) => byId("resident").append(html("option", { value: String(k) }, `${who.name} (${who.id})`)));
  byId("day").max = String(data.residents[0].days.length - 1);
  byId("day").value = byId("day").max;
  byId("resident").addEventListener("change", drawDay);
  byId("day").addEventListener("input", drawDay);
  for (const [id, by] of [["before", -1], ["after", 1]]) {
    byId(id).addEventListener("click", () => {
      byId("day").value = String(Number(byId("day").value) + by);
      drawDay();
    });
  }
  drawDay();
}

byId("title").textContent = data.title;
byId("about").textContent = data.about;
for (const note of data.notes) byId("notes").append(html("li", note.startsWith("NOT") ? { class: "warn" } : {}, note));
for (const line of data.incomplete) byId("notes").append(html("li", { class: "warn" }, `left out: ${line}`));
byId("provenance").textContent = JSON.stringify(data.provenance, null, 1);
drawTable();
drawPairs();
drawLegend();
drawCurves();
drawMarks();
drawResidents();
