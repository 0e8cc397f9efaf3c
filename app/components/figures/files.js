// What a page saves on the user's disk: tables as CSV, charts as PNG. Nothing leaves the machine.
export function csv(head, rows) {
  return "\ufeff" + [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

// the same of figures with their units: times are seconds and say so, and 0.1 + 0.2 is 0.3
export function figuresCsv(head, units, rows, say) {
  const second = say.labels.seconds.replace("{n}", "").trim();
  const named = (name, unit) => (unit !== "time" && unit !== "offset" ? name : say.lang.startsWith("zh") ? `${name}（${second}）` : `${name} (${second})`);
  const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(12)) : value);
  return csv(head.map((name, n) => named(name, units[n])), rows.map((row) => row.map(short)));
}

// a spreadsheet takes a text that begins like this for a formula
const FORMULA = /^[=+\-@\t\r]/;

function cell(value) {
  if (value == null) return "";
  if (typeof value === "number") return String(value);
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const safe = typeof value === "string" && FORMULA.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function save(name, type, content) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  keep(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function keep(name, url) {
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// the chart once more on a canvas, with its title, as large as it is on the page and twice as fine
export function savePicture(name, echarts, option, { width, height, title, ink, paper, font }) {
  const place = Object.assign(document.createElement("div"), { style: `width:${width}px;height:${height + 40}px` });
  const chart = echarts.init(place, null, { renderer: "canvas", width, height: height + 40 });
  const push = (part) => (part == null || Array.isArray(part) ? part : { ...part, top: (part.top ?? 0) + 36 });
  chart.setOption({
    ...option, animation: false, backgroundColor: paper, grid: { ...option.grid, top: (option.grid?.top ?? 0) + 36, left: 16, right: 20, bottom: 12 },
    legend: push(option.legend && { ...option.legend, left: 16 }),
    title: { text: title, left: 16, top: 12, textStyle: { fontSize: 14, fontWeight: 600, color: ink, fontFamily: font } },
  });
  keep(name, chart.getDataURL({ type: "png", pixelRatio: 2, backgroundColor: paper }));
  chart.dispose();
}
