// Figures and moments as the page's language writes them. ``say`` is {lang, labels}.
const UNITS = {
  count: [0, ""], rate: [2, "rate"], speed: [1, "speed"], factor: [2, ""], tokens: [0, ""], energy: [2, "energy"],
};

// a value in its unit; short is for axes
export function amount(value, unit, say, short = false) {
  if (value == null || Number.isNaN(value)) return "–";
  if (unit === "share") return number(value, say, { style: "percent", maximumFractionDigits: short ? 0 : 1 });
  if (unit === "time" || unit === "offset") return duration(value, say, unit === "offset" && !short);
  const [digits, label] = UNITS[unit] ?? UNITS.count;
  const big = Math.abs(value) >= 10000;
  const written = short && big
    ? number(value, say, { notation: "compact", maximumFractionDigits: 1 })
    : number(value, say, { maximumFractionDigits: Math.abs(value) >= 100 ? Math.min(digits, 1) : digits });
  return label && !short ? say.labels[label].replace("{n}", written) : written;
}

function duration(value, say, signed) {
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : signed && value > 0 ? "+" : "";
  const [unit, by, digits] =
    size < 0.1 && size > 0 ? ["millis", 0.001, size < 0.001 ? 1 : 0] : size < 1 && size > 0 ? ["seconds", 1, 2] : size < 10 ? ["seconds", 1, 1] : size < 100 ? ["seconds", 1, 0]
    : size < 6000 ? ["minutes", 60, size < 600 ? 1 : 0] : ["hours", 3600, 1];
  return sign + say.labels[unit].replace("{n}", number(size / by, say, { maximumFractionDigits: digits }));
}

function number(value, say, style) {
  return new Intl.NumberFormat(say.lang, style).format(value);
}

// the beginning of a step, short for an axis or as a span for a tooltip
export function moment(at, say, { step_s, span_s }, full = false) {
  const day = { month: "short", day: "numeric" };
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const show = (style, when = at) => new Intl.DateTimeFormat(say.lang, style).format(new Date(when * 1000));
  if (!full) return show(span_s > 172800 ? day : clock);
  const from = show(span_s > 43200 ? { ...day, ...clock, weekday: "short" } : clock);
  return step_s >= 86400 ? show({ ...day, weekday: "short" }) : step_s > 60 ? `${from} – ${show(clock, at + step_s)}` : from;
}

// 1 is Monday, 7 Sunday
export function weekday(day, say, style = "short") {
  return new Intl.DateTimeFormat(say.lang, { weekday: style, timeZone: "UTC" }).format(new Date(Date.UTC(2024, 0, day)));
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
