// Numbers, durations and sentences in the language of the page.

export const LEVELS = [
  [1, "low"],
  [5, "normal"],
  [10, "high"],
  [15, "realtime"],
];

export function level(priority) {
  return priority < 0 ? "p-auto" : priority < 4 ? "p-low" : priority < 8 ? "p-normal" : priority < 13 ? "p-high" : "p-real";
}

export class Words {
  constructor(labels, lang) {
    this.labels = labels;
    this.lang = lang;
    this.plurals = new Intl.PluralRules(lang);
  }

  // the label with its {values} filled in
  say(name, values = {}) {
    return (this.labels[name] ?? "").replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
  }

  number(value, digits = 0) {
    return new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
  }

  tokens(count) {
    return this.say(this.plurals.select(count) === "one" ? "one_token" : "many_tokens", { n: this.number(count) });
  }

  rate(value) {
    return this.say("rate", { n: this.number(value, value < 10 ? 1 : 0) });
  }

  size(bytes) {
    if (bytes < 10_000) return this.say("bytes", { n: this.number(bytes) });
    return this.say("kilobytes", { n: this.number(bytes / 1000, bytes < 100_000 ? 1 : 0) });
  }

  seconds(value) {
    const whole = Math.max(0, Math.floor(value));
    if (value < 10) return this.say("s", { n: this.number(Math.max(0, value), Number.isInteger(value) ? 0 : 1) });
    if (whole < 60) return this.say("s", { n: whole });
    const [m, s] = [Math.floor(whole / 60) % 60, whole % 60];
    if (whole < 3600) return this.say("m", { m, s });
    return this.say("h", { h: this.number(Math.floor(whole / 3600)), m });
  }

  // for clocks that run: whole seconds
  ticking(value) {
    return this.seconds(Math.max(0, Math.floor(value)));
  }

  moment(at) {
    return new Intl.DateTimeFormat(this.lang, { dateStyle: "medium", timeStyle: "short" }).format(at * 1000);
  }

  priority(value) {
    if (value < 0) return this.labels.auto; // not guessed yet
    const known = LEVELS.find(([number]) => number === value);
    return known ? this.labels[known[1]] : String(value);
  }

  // what happened, in one sentence
  cause(code, model) {
    return this.say(`fail_${code}` in this.labels ? `fail_${code}` : "fail_other", { model });
  }

  // what to do about it
  advice(code, model) {
    return this.say(`do_${code}` in this.labels ? `do_${code}` : "do_other", { model });
  }

  unsent(code, retryAfter) {
    if (retryAfter && `unsent_${code}_for` in this.labels) return this.say(`unsent_${code}_for`, { time: this.ticking(Math.ceil(retryAfter)) });
    return this.say(`unsent_${code}` in this.labels ? `unsent_${code}` : "unsent_other");
  }

  // where a waiting job stands
  standing(view) {
    if (view.state === "sending") return this.labels.sending;
    if (view.state === "blocked") return this.after(view.after);
    if (view.reason === "no_worker") return this.say(`no_${view.hint}` in this.labels ? `no_${view.hint}` : "no_worker", { model: view.model });
    if (view.reason === "limited" || view.reason === "paused") return this.labels[view.reason];
    if (view.ahead === null || view.ahead === undefined) return this.labels.queued;
    if (view.ahead === 0) return this.labels.next;
    const many = view.limit && view.ahead >= view.limit;
    return this.say(many ? "many_ahead" : "n_ahead", { n: this.number(view.ahead) });
  }

  after(jobs) {
    return this.say(jobs === 1 ? "after_one" : "after_many", { n: this.number(jobs) });
  }

  // what would help while nobody can run it
  help(view) {
    return this.say(`help_${view.hint}` in this.labels ? `help_${view.hint}` : "until_one", { model: view.model });
  }

  // the command for it
  command(view) {
    return view.reason === "no_worker" ? this.say(`run_${view.hint}`, { model: view.model }) : "";
  }

  // another model that would answer sooner
  other({ model, at }, clock) {
    const left = Math.max(0, at - clock);
    if (left < 1.5) return this.say("other_now", { model });
    return this.say("other_in", { model, time: this.ticking(left < 10 ? Math.round(left) : Math.round(left / 5) * 5) });
  }

  // two halves of a sentence
  with(first, second) {
    return second ? first + (this.lang === "zh-CN" ? "，" : ", ") + second : first;
  }

  // a sentence that another follows
  before(sentence) {
    return this.lang === "zh-CN" ? sentence : sentence + " ";
  }

  note(view) {
    if (view.note === "worker_lost") return this.labels[view.state === "running" ? "lost_running" : "lost_waiting"];
    if (view.note === "handed_back") return this.labels[view.state === "running" ? "" : "handed_back"] ?? "";
    if (view.note === "retry" && view.state !== "delayed") {
      return this.say("again", { n: this.number(view.starts + (view.state === "running" ? 0 : 1)) });
    }
    return "";
  }

  // what a screen reader hears when the state changes
  announce(view) {
    const said = { running: "answering", completed: "answered", cancelled: "stopped", cancelling: "stopping" };
    if (view.role === "user") return "";
    if (view.state === "dead") return this.cause(view.code, view.model);
    if (view.state === "unsent") return this.unsent(view.code, view.retry_after);
    if (view.state === "waiting" || view.state === "blocked") return this.standing(view);
    return this.labels[said[view.state]] ?? "";
  }
}
