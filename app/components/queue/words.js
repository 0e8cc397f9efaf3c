// What the queue's pages say about a job, in the page's language.
import { laneOf } from "./levels.js";

export class Words {
  constructor(labels, lang) {
    Object.assign(this, { labels, lang });
    this.clocks = {};
    this.numbers = {};
  }

  fill(name, values) {
    return this.labels[name].replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  }

  get colon() {
    return this.lang.startsWith("zh") ? "：" : ": ";
  }

  number(value, digits = 0) {
    this.numbers[digits] ??= new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }); // to make one is slow
    return this.numbers[digits].format(value);
  }

  // seconds as '40 ms', '0.4 s', '12 s', '4 min 10 s', '1 h 5 min', '3 d 4 h'
  duration(value) {
    if (value === null || !Number.isFinite(value)) return "—";
    const seconds = Math.max(0, value);
    const whole = Math.floor(seconds);
    if (seconds > 0 && seconds < 0.001) return this.labels.ms_least;
    if (seconds > 0 && seconds < 0.0995) return this.fill("ms", { n: Math.round(seconds * 1000) });
    if (seconds < 10) return this.fill("s", { n: this.number(seconds, Number.isInteger(seconds) ? 0 : 1) });
    if (whole < 60) return this.fill("s", { n: whole });
    const [m, s] = [Math.floor(whole / 60) % 60, whole % 60];
    if (whole < 3600) return this.fill("m", { m, s });
    const h = Math.floor(whole / 3600);
    if (h < 48) return this.fill("h", { h, m });
    return this.fill("d", { d: this.number(Math.floor(h / 24)), h: h % 24 });
  }

  ticking(value) {
    return this.duration(Math.max(0, Math.floor(value)));
  }

  rate(value) {
    return value ? this.fill("rate", { n: this.number(value, value < 10 ? 1 : 0) }) : "";
  }

  clock(at) {
    return this.format("clock", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }, at);
  }

  moment(at) {
    return this.format("moment", { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }, at);
  }

  format(name, options, at) {
    this.clocks[name] ??= new Intl.DateTimeFormat(this.lang, options);
    return this.clocks[name].format(at * 1000);
  }

  priority(value) {
    const { name, value: usual } = laneOf(value);
    return value === usual ? this.labels[name] : String(value);
  }

  // what it is called: its conversation's title, how it begins, or what kind of request it is
  title({ title, says, kind, conversation }) {
    return title || says || (conversation && kind === "chat" ? this.labels.message : this.labels[kind]) || "—";
  }

  // where it came from
  origin(row) {
    if (row.schedule) return this.fill("by_schedule", { name: row.schedule });
    if (row.batch) return this.labels.of_batch;
    return row.title || row.conversation ? "" : this.labels.by_api;
  }

  note(row, clock, id) {
    const shared = row.claims > 1 && this.fill("shared", { n: this.number(row.claims) });
    const kind = row.says && row.kind !== "chat" && this.labels[row.kind];
    const tail = !row.title && !row.says && "…" + id.slice(-6); // tells those apart that have no name
    return [this.story(row, clock), kind, this.origin(row), shared, tail].filter(Boolean).join(" · ");
  }

  // what has happened to it
  story(row, clock) {
    if (row.state === "delayed" && row.code) return this.fill("again", { n: this.number(row.starts + 1) });
    if (row.requeue === "worker_lost") return this.labels.worker_lost;
    if (row.requeue === "handed_back") return this.labels.handed_back;
    if (row.requeue === "retry") return this.fill("again", { n: this.number(row.starts + (row.state === "running" ? 0 : 1)) });
    return "";
  }

  // why it waits
  why(row, clock, limit) {
    if (row.state === "delayed") {
      const rest = this.ticking(Math.ceil(row.due - clock));
      return this.fill(row.code ? "retry_in" : "due_in", { time: rest });
    }
    if (row.state === "blocked") return this.fill(row.after === 1 ? "after_one" : "after_many", { n: this.number(row.after) });
    if (row.reason === "no_worker") return this.labels["no_" + row.hint] ?? this.labels.no_worker;
    if (row.reason === "paused") return this.labels.paused;
    if (row.reason === "limited") {
      const rest = Math.ceil(row.due - clock);
      return rest > 0 ? this.fill("limited_for", { time: this.ticking(rest) }) : this.labels.limited;
    }
    if (row.ahead === null) return "";
    if (row.ahead === 0) return this.labels.next;
    const n = this.number(row.ahead);
    if (row.ahead >= limit) return this.fill("many_ahead", { n });
    if (!row.behind) return this.fill("n_ahead", { n });
    const [title, kind, user] = row.behind;
    const what = title || this.labels[kind];
    return this.fill("n_ahead", { n }) + " · " + this.fill(user ? "behind_of" : "behind", { what, user });
  }

  // when it will probably start
  eta(row, clock) {
    if (row.state !== "waiting" || !row.until) return "";
    const [from, until] = [Math.round(row.from - clock), Math.round(row.until - clock)];
    if (until < -1) return ""; // what was told is over, and nobody says more: the queue does not answer
    if (until <= 1) return this.labels.eta_now;
    const said = from < 2 ? this.fill("eta_within", { time: this.ticking(until) })
      : this.fill("eta_between", { from: this.ticking(from), until: this.ticking(until) });
    return row.load ? said + " · " + this.fill("loads", { time: this.ticking(row.load) }) : said;
  }
}
