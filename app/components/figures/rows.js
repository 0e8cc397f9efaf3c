// A chart's numbers as a table: {head: [text], rows: [[value]], units: [unit or null for each column]}.
import { moment, weekday } from "./words.js";

export function rowsOf(spec, data, say, names, raw = false) {
  const make = { steps, heat, ranks, bins: ranks }[spec.form];
  return make(spec, data, say, names, raw);
}

function steps(spec, data, say, names, raw) {
  const ids = Object.keys(names).filter((id) => data.series[id]);
  const old = Object.keys(names).filter((id) => data.before?.[id]);
  const when = (at) => (raw ? new Date(at * 1000).toISOString() : moment(at, say, data, true));
  return {
    head: [say.labels.time, ...ids.map((id) => names[id]), ...old.map((id) => say.labels.previous.replace("{what}", () => names[id]))],
    rows: data.at.map((at, n) => [when(at), ...ids.map((id) => data.series[id][n]), ...old.map((id) => data.before[id][n])]),
    units: [null, ...ids.map((id) => unit(spec, id)), ...old.map((id) => unit(spec, id))],
  };
}

function unit(spec, id) {
  return spec.series?.find((line) => line.id === id)?.unit ?? spec.unit;
}

function heat(spec, data, say) {
  const hours = [...Array(24).keys()];
  const found = new Map(data.cells.map(([day, hour, value]) => [day * 24 + hour, value]));
  return {
    head: [say.labels.weekday, ...hours.map((hour) => String(hour).padStart(2, "0"))],
    rows: [1, 2, 3, 4, 5, 6, 7].map((day) => [weekday(day, say, "long"), ...hours.map((hour) => found.get(day * 24 + hour) ?? 0)]),
    units: [null, ...hours.map(() => spec.unit)],
  };
}

function ranks(spec, data, say, names) {
  const ids = Object.keys(names);
  return {
    head: [say.labels.name ?? say.labels.title, ...ids.map((id) => names[id])],
    rows: data.names.map((name, n) => [name, ...ids.map((id) => data.series[id][n])]),
    units: [null, ...ids.map((id) => unit(spec, id))],
    links: data.links,
  };
}
