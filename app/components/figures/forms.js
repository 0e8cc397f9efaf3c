// What ECharts is told for each form of chart: 'steps' over time, 'heat' by hour and weekday, 'ranks' and 'bins' as bars.
// Colours are names of the page's CSS variables; texts come with ``say``. A chart is {spec, data, say, names, width}.
import { amount, colour, moment, weekday } from "./words.js";

export const PALETTE = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];

export function options(chart) {
  return { textStyle: { fontSize: 11.5 }, ...{ steps, heat, ranks, bins }[chart.spec.form](chart) };
}

function steps(chart) {
  const { spec, data, names, say } = chart;
  const lines = linesOf(chart).filter((line) => data.series[line.id]);
  const old = linesOf(chart).filter((line) => data.before?.[line.id]);
  const shown = [...lines.map((line) => names[line.id]), ...old.map((line) => oldName(line, chart))];
  const bars = lines.some((line) => line.type === "bar");
  const all = [...lines.map((line) => data.series[line.id]), ...old.map((line) => data.before[line.id])];
  const most = Math.max(0, ...all.flat());
  const every = spec.unit === "share" ? 0.25 : spec.unit === "time" ? (most ? roundTime(most) : 0.5) : undefined;
  return {
    grid: { left: 4, right: 16, top: shown.length > 1 ? 32 : 12, bottom: 2, containLabel: true },
    legend: shown.length > 1 ? legend(shown) : { show: false },
    tooltip: tooltip({ trigger: "axis", axisPointer: pointer(bars), formatter: (rows) => stepTip(chart, rows) }),
    xAxis: {
      type: "category", data: data.at, boundaryGap: bars, axisTick: { show: false }, axisLine: { lineStyle: { color: colour("--line2") } },
      axisLabel: axisLabel({ hideOverlap: true, alignMaxLabel: "right", interval: (_, value) => marked(+value, chart), formatter: (value) => moment(+value, say, data) }),
    },
    yAxis: {
      type: "value", min: 0, splitNumber: 3, minInterval: spec.unit === "count" ? 1 : 0, interval: every,
      max: spec.unit === "share" ? 1 : !most ? (every ? 2 * every : 4) : every ? Math.ceil(most / every - 1e-9) * every : null,
      axisLabel: axisLabel({ formatter: (value) => amount(value, spec.unit, say, true) }), splitLine: { lineStyle: { color: colour("--line") } },
    },
    series: [...lines.map((line) => stepLine(line, chart)), ...old.map((line) => oldLine(line, chart))],
  };
}

// between two lines of an axis of seconds: at most four of them
const TIMES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

function roundTime(most) {
  return TIMES.find((step) => most / step <= 4) ?? most / 4;
}

function linesOf({ spec, names }) {
  if (spec.series?.length) return spec.series.filter((line) => line.id in names);
  return Object.keys(names).map((id, n) => ({ id, type: "line", colour: PALETTE[n % PALETTE.length] }));
}

function stepLine(line, { data, names }) {
  const shade = colour(line.colour);
  const common = { id: line.id, name: names[line.id], type: line.type, data: data.series[line.id], itemStyle: { color: shade, opacity: line.thin ? 0.55 : 1 } };
  if (line.type === "bar") return { ...common, stack: "all", barCategoryGap: "24%", barMaxWidth: 26, emphasis: { focus: "none" } };
  return {
    ...common, ...(line.stack ? { stack: line.stack } : {}), symbol: "circle", symbolSize: (_, { dataIndex }) => symbolSize(data.series[line.id], dataIndex), showSymbol: isolated(data.series[line.id]),
    showAllSymbol: true, connectNulls: false, smooth: 0.15, lineStyle: { width: line.thin ? 1.4 : 2, color: shade, opacity: line.thin ? 0.6 : 1 },
    areaStyle: line.area ? { color: shade, opacity: line.area } : undefined, emphasis: { disabled: true },
  };
}

// a value between two holes has no line to be seen by
function isolated(values) {
  return values.some((_, n) => lonely(values, n));
}

function lonely(values, n) {
  return values[n] != null && values[n - 1] == null && values[n + 1] == null;
}

function symbolSize(values, n) {
  if (lonely(values, n)) return values.filter((value) => value != null).length < 12 ? 8 : 5;
  return values.length > 70 ? 3 : 4.5;
}

function oldName(line, { names, say }) {
  return say.labels.previous.replace("{what}", () => names[line.id]);
}

function oldLine(line, chart) {
  const { data } = chart;
  return {
    id: line.id + "·before", name: oldName(line, chart), type: "line", data: data.before[line.id], symbol: "none", connectNulls: false, z: 1, smooth: 0.15,
    itemStyle: { color: colour(line.colour) }, lineStyle: { width: 1.4, type: [4, 4], color: colour(line.type === "bar" ? "--ink3" : line.colour), opacity: 0.75 }, emphasis: { disabled: true },
  };
}

function stepTip({ data, spec, say }, rows) {
  const lines = rows.filter((row) => row.value != null || rows.length < 4).map((row) => tipRow(row.marker, row.seriesName, amount(row.value, spec.unit, say)));
  return `<div class="chart-tip-head">${escape(moment(data.at[rows[0].dataIndex], say, data, true))}</div>${lines.join("")}`;
}

function tipRow(marker, name, value) {
  return `<div class="chart-tip-row"><span>${marker}${escape(name)}</span><b>${escape(value)}</b></div>`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

function heat({ data, say, spec, width }) {
  const top = Math.max(1, ...data.cells.map(([, , value]) => value));
  const narrow = width < 560;
  return {
    grid: { left: 4, right: 8, top: 8, bottom: 34, containLabel: true },
    tooltip: tooltip({ formatter: (cell) => {
      const [hour, row, value] = cell.value;
      const when = `${weekday(row + 1, say, "long")} ${String(hour).padStart(2, "0")}:00–${String(hour + 1).padStart(2, "0")}:00`;
      return `<div class="chart-tip-head">${escape(when)}</div>${tipRow("", say.labels.value, amount(value, spec.unit, say))}`;
    } }),
    xAxis: { type: "category", data: [...Array(24).keys()], axisTick: { show: false }, axisLine: { show: false }, splitArea: { show: false },
      axisLabel: axisLabel({ interval: narrow ? 5 : 2, formatter: (hour) => String(hour).padStart(2, "0") }) },
    yAxis: { type: "category", inverse: true, data: [1, 2, 3, 4, 5, 6, 7].map((day) => weekday(day, say)), axisTick: { show: false }, axisLine: { show: false }, axisLabel: axisLabel({ interval: 0 }) },
    visualMap: {
      min: 0, max: top, calculable: false, orient: "horizontal", left: "center", bottom: 0, itemWidth: 9, itemHeight: 120, precision: 1,
      text: [amount(top, spec.unit, say, true), "0"], textStyle: { color: colour("--ink3"), fontSize: 11.5 },
      inRange: { color: ["--heat0", "--heat1", "--heat2", "--heat3", "--heat4"].map(colour) },
    },
    series: [{ type: "heatmap", data: data.cells.map(([day, hour, value]) => [hour, day - 1, value]),
      itemStyle: { borderColor: colour("--card"), borderWidth: 2, borderRadius: 4 }, emphasis: { itemStyle: { borderColor: colour("--ink2"), borderWidth: 1 } } }],
  };
}

function ranks(chart) {
  const { spec, data, say, names, width } = chart;
  const lines = linesOf(chart);
  const longest = Math.max(...data.names.map((name) => [...name].reduce((sum, sign) => sum + (sign > "\u2e7f" ? 12.5 : 7), 0)));
  const room = Math.min(longest + 6, 210, width * 0.36);
  const sums = data.names.map((_, n) => lines.reduce((sum, line) => sum + (data.series[line.id][n] ?? 0), 0));
  const all = data.total ?? sums.reduce((sum, value) => sum + value, 0);
  const last = lines.at(-1)?.id;
  const written = (row) => spec.beside ? amount(row.value, spec.unit, say, true)
    : spec.share && all ? amount(sums[row.dataIndex] / all, "share", say) : amount(sums[row.dataIndex], spec.unit, say, true);
  return {
    grid: { left: room + 12, right: 64, top: lines.length > 1 ? 32 : 4, bottom: 2 },
    legend: lines.length > 1 ? legend(lines.map((line) => names[line.id])) : { show: false },
    tooltip: tooltip({ trigger: "axis", axisPointer: pointer(true), formatter: (rows) => {
      const shown = rows.filter((row) => row.seriesName && !row.seriesId?.endsWith("·sum")).map((row) => tipRow(row.marker, row.seriesName, amount(row.value, spec.unit, say)));
      const share = spec.share && all ? tipRow("", say.labels.share, amount(sums[rows[0].dataIndex] / all, "share", say)) : "";
      return `<div class="chart-tip-head">${escape(data.names[rows[0].dataIndex])}</div>${shown.join("")}${share}`;
    } }),
    xAxis: { type: "value", min: 0, splitNumber: 3, axisLabel: { show: false }, splitLine: { show: false } },
    yAxis: { type: "category", inverse: true, data: data.names.map((_, n) => n), axisTick: { show: false }, axisLine: { show: false },
      axisLabel: { color: colour("--ink2"), fontSize: 12, width: room, overflow: "truncate", formatter: (n) => data.names[n] } },
    series: lines.map((line, n) => ({
      id: line.id, name: names[line.id], type: "bar", data: data.series[line.id], cursor: data.links ? "pointer" : "default",
      ...(spec.beside ? { barMaxWidth: 12, barGap: "12%", barCategoryGap: "24%" } : { stack: "all", barMaxWidth: 16, barCategoryGap: "38%" }),
      itemStyle: { color: colour(line.colour), borderRadius: spec.beside || n === lines.length - 1 ? [0, 3, 3, 0] : 0 }, emphasis: { focus: "none" },
      label: spec.beside || line.id === last ? { show: true, position: "right", color: colour("--ink2"), fontSize: spec.beside ? 10 : 11.5, formatter: written } : undefined,
    })),
  };
}

function bins(chart) {
  const { spec, data, say, names } = chart;
  const lines = linesOf(chart);
  return {
    grid: { left: 4, right: 12, top: 12, bottom: 2, containLabel: true },
    tooltip: tooltip({ trigger: "axis", axisPointer: pointer(true), formatter: (rows) =>
      `<div class="chart-tip-head">${escape(data.names[rows[0].dataIndex])}</div>${rows.map((row) => tipRow(row.marker, row.seriesName, amount(row.value, spec.unit, say))).join("")}` }),
    xAxis: { type: "category", data: data.names.map((_, n) => n), axisTick: { show: false }, axisLine: { lineStyle: { color: colour("--line2") } },
      axisLabel: axisLabel({ hideOverlap: true, formatter: (n) => data.names[n] }) },
    yAxis: { type: "value", min: 0, splitNumber: 3, minInterval: 1, axisLabel: axisLabel({ formatter: (value) => amount(value, spec.unit, say, true) }), splitLine: { lineStyle: { color: colour("--line") } } },
    series: lines.map((line) => ({ id: line.id, name: names[line.id], type: "bar", data: data.series[line.id].map((value, n) => ({ value, itemStyle: { color: colour(data.tones?.[n] ?? line.colour) } })), barCategoryGap: "12%", itemStyle: { borderRadius: [3, 3, 0, 0] }, emphasis: { focus: "none" } })),
  };
}

function legend(names) {
  return {
    top: 0, left: 0, right: 0, padding: 0, itemWidth: 10, itemHeight: 10, itemGap: 14, icon: "roundRect", type: "scroll", pageIconSize: 9, pageTextStyle: { color: colour("--ink3") },
    pageIconColor: colour("--ink2"), pageIconInactiveColor: colour("--line2"), data: names, textStyle: { color: colour("--ink2"), fontSize: 12 }, inactiveColor: colour("--line2"),
  };
}

function tooltip(more) {
  return { confine: true, transitionDuration: 0, borderWidth: 1, padding: [8, 12], backgroundColor: colour("--card"), borderColor: colour("--line2"), textStyle: { color: colour("--ink"), fontSize: 12.5 }, ...more };
}

function pointer(bars) {
  return { type: bars ? "shadow" : "line", shadowStyle: { color: colour("--ink3"), opacity: 0.1 }, lineStyle: { color: colour("--line2"), type: "solid" } };
}

function axisLabel(more) {
  return { color: colour("--ink3"), fontSize: 11.5, ...more };
}

// which steps get a label: those in which a round time begins, as many as there is room for
const ROUND = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 604800, 1209600, 2419200, 4838400, 7257600];

function marked(at, { data, width }) {
  const room = Math.max(2, width / 72);
  const least = data.span_s > 172800 ? 86400 : data.step_s;
  const every = ROUND.find((s) => s >= least && data.span_s / s <= room) ?? ROUND.at(-1);
  return (at - new Date(at * 1000).getTimezoneOffset() * 60) % every < data.step_s; // steps begin by UTC, days by the clock here
}
