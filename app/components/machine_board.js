// Machines, their engines, workers, models and errands. Rows come as patches and are kept here; times tick here.
import { template } from "corral-machines";

const MAPS = ["machines", "groups", "workers", "jobs", "errands", "gone"];
const ENDED_S = { done: 30, cancelled: 60, failed: 600 };

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["act", "gap"],
  template,
  data() {
    return { ...this.state, clock: 0, pending: {}, dismissed: {}, speeds: {}, dialog: "", subject: {}, copied: false, form: { name: "", worker: "" } };
  },
  created() {
    this.take(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 1000);
    document.addEventListener("visibilitychange", this.tick);
  },
  beforeUnmount() {
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.tick);
  },
  watch: {
    state(state) {
      this.take(state);
    },
  },
  computed: {
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
    // one worker of each engine that can be asked to pull something; those that really download first
    targets() {
      const found = Object.entries(this.groups).filter(([, group]) => group.workers.length && group.problem !== "unreachable");
      return found
        .map(([key, group]) => ({ worker: group.workers[0], name: group.backend || group.workers[0], demo: group.engine === "demo" }))
        .sort((one, other) => one.demo - other.demo);
    },
    target() {
      return this.targets.find((each) => each.worker === this.form.worker);
    },
    departed() {
      return Object.entries(this.gone).sort(([, one], [, other]) => other.at - one.at);
    },
  },
  methods: {
    take(state) {
      Object.assign(this, state);
      this.skew = state.now - Date.now() / 1000;
      this.measure();
      this.tick();
    },
    // a patch says which version it makes; one that does not fit was missed, and the whole is asked for
    patch(patch) {
      if (patch.version !== this.version + 1) return this.$emit("gap");
      for (const [key, value] of Object.entries(patch)) {
        if (!MAPS.includes(key)) this[key] = value;
        else {
          const rows = { ...this[key], ...value.set };
          for (const name of value.gone) delete rows[name];
          this[key] = rows;
        }
      }
      this.skew = patch.now - Date.now() / 1000;
      this.measure();
      this.tick();
    },
    settle(key) {
      delete this.pending[key];
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
    },
    act(action, what, key) {
      if (key) this.pending[key] = true;
      this.$emit("act", action, { ...what, key: key ?? "" });
    },
    // how fast a pull is: smoothed over what came since the first look
    measure() {
      const now = Date.now() / 1000;
      for (const [id, errand] of Object.entries(this.errands)) {
        if (errand.action !== "pull" || errand.state !== "running" || !errand.completed) continue;
        const seen = this.speeds[id];
        if (!seen) this.speeds[id] = { at: now, bytes: errand.completed, rate: 0 };
        else if (now - seen.at >= 1 && errand.completed > seen.bytes) {
          const rate = (errand.completed - seen.bytes) / (now - seen.at);
          this.speeds[id] = { at: now, bytes: errand.completed, rate: seen.rate ? 0.6 * seen.rate + 0.4 * rate : rate };
        }
      }
    },
    // workers
    health(name) {
      const worker = this.workers[name];
      if (worker.leaving) return { kind: "warn", text: this.labels.leaving, hint: this.labels.leaving_hint };
      if (worker.problem === "breaker_open")
        return { kind: "bad", text: this.labels.breaker_open, hint: this.labels.breaker_hint.replace("{code}", () => worker.breaker_code || "—") };
      if (worker.problem === "unreachable") return { kind: "bad", text: this.labels.unreachable, hint: this.labels.unreachable_hint };
      if (worker.paused || this.paused) return { kind: "warn", text: worker.jobs.length ? this.labels.pausing : this.labels.paused, hint: "" };
      if (worker.problem === "no_models") return { kind: "warn", text: this.labels.no_models, hint: this.labels.no_models_hint };
      if (worker.breaker === "half_open") return { kind: "warn", text: this.labels.half_open, hint: this.labels.half_open_hint };
      return worker.jobs.length ? { kind: "run", text: this.labels.working, hint: "" } : { kind: "ok", text: this.labels.works, hint: "" };
    },
    life(name) {
      const worker = this.workers[name];
      const speaks = worker.jobs.some((id) => this.jobs[id]?.rate);
      const word = worker.token ? this.labels.spoke.replace("{time}", this.duration(this.clock - worker.token)) : this.labels.never_spoke;
      return (speaks ? "" : word + " · ") + this.labels.up.replace("{time}", this.duration(this.clock - worker.since));
    },
    // a long name's end tells workers apart
    called(name) {
      const tail = name.match(/:[^:]{1,20}$/)?.[0];
      return name.length > 30 && tail ? "…" + tail : name;
    },
    idle(name) {
      return Math.max(0, this.workers[name].slots - this.workers[name].jobs.length);
    },
    freeText(count) {
      return count === 1 ? this.labels.one_free : this.labels.free.replace("{n}", this.number(count));
    },
    title(id) {
      return this.jobs[id].title || this.labels[this.jobs[id].kind] || "—";
    },
    doing(id) {
      const job = this.jobs[id];
      if (job.state === "cancelling") return this.labels.stopping;
      const rate = job.rate ? this.labels.rate_tokens.replace("{n}", this.number(job.rate, job.rate < 10 ? 1 : 0)) : this.labels.reading;
      return [job.user, this.duration(this.clock - job.started), rate, job.model].filter(Boolean).join(" · ");
    },
    // models
    memoryText(model) {
      if (!model.resident) return "";
      const parts = [model.memory ? this.labels.loaded_size.replace("{size}", this.bytes(model.memory)) : this.labels.loaded];
      if (model.memory && model.vram) parts.push(this.labels.on_gpu.replace("{share}", this.percent(model.vram / model.memory)));
      if (model.expires < 0) parts.push(this.labels.for_ever);
      else if (model.expires > this.clock) parts.push(this.labels.until.replace("{time}", this.duration(model.expires - this.clock)));
      return parts.join(" · ");
    },
    about(model) {
      return [model.size ? this.bytes(model.size) : "", model.about, model.embeds ? this.labels.embeds : ""].filter(Boolean).join(" · ");
    },
    modelKey(key, model) {
      return key + " " + model.name;
    },
    busyWith(key, model) {
      const going = this.errandsOf(key).some(([, errand]) => !errand.ended && sameModel(errand.model, model.name));
      return going || this.pending[this.modelKey(key, model)];
    },
    loadedCount(group) {
      const count = group.models.filter((model) => model.resident).length;
      return count ? this.labels.in_memory.replace("{n}", this.number(count)) : "";
    },
    doModel(action, key, model, more = {}) {
      this.act("errand", { action, worker: this.groups[key].workers[0], model: model.name, ...more }, this.modelKey(key, model));
    },
    // errands
    errandsOf(key) {
      const names = this.groups[key].workers;
      return Object.entries(this.errands).filter(
        ([id, errand]) => names.includes(errand.worker) && !this.dismissed[id] && (!errand.ended || this.clock - errand.ended < ENDED_S[errand.state]),
      );
    },
    share(errand) {
      return errand.total ? Math.min(1, errand.completed / errand.total) : null;
    },
    progressText(id) {
      const errand = this.errands[id];
      if (errand.state === "asked") return this.labels.asked;
      if (!errand.total) return errand.action === "pull" ? this.labels.preparing : "";
      if (errand.completed >= errand.total) return this.labels.checking;
      const parts = [this.labels.of.replace("{done}", this.bytes(errand.completed)).replace("{total}", this.bytes(errand.total)), this.percent(this.share(errand))];
      const rate = this.speeds[id]?.rate;
      const left = rate ? (errand.total - errand.completed) / rate : 0;
      if (left >= 1) {
        parts.push(this.labels.rate.replace("{size}", this.bytes(rate)));
        parts.push(this.labels.left.replace("{time}", this.duration(left)));
      }
      return parts.join(" · ");
    },
    goingText(errand) {
      const word = { pull: "pulling", load: "loading", unload: "unloading", remove: "removing" }[errand.action] ?? "changing";
      return this.labels[word].replace("{name}", () => errand.model);
    },
    endText(errand) {
      if (errand.state === "done") return (this.labels["done_" + errand.action] ?? this.labels.done_other).replace("{name}", () => errand.model);
      if (errand.state === "cancelled") return this.labels.stopped.replace("{name}", () => errand.model);
      return this.labels.failed.replace("{name}", () => errand.model).replace("{why}", () => this.labels["why_" + errand.code] ?? errand.detail);
    },
    repeat(id) {
      const { action, worker, model } = this.errands[id];
      this.dismissed[id] = true;
      this.act("errand", { action, worker, model });
    },
    // dialogs
    ask(dialog, subject) {
      this.opener = document.activeElement;
      this.subject = subject;
      this.dialog = dialog;
    },
    closed() {
      this.subject = {};
      this.opener?.focus?.();
    },
    askPull(worker, name = "") {
      this.form = { name, worker: worker || this.targets[0]?.worker || "" };
      this.ask("pull", {});
    },
    askJoin(offer) {
      this.copied = false;
      if (this.dialog === "join") this.subject = offer; // the answer to what was clicked in it
      else {
        this.form = { name: "", worker: "" };
        this.ask("join", offer);
      }
    },
    pull() {
      const model = this.form.name.trim();
      if (!model || !this.form.worker) return;
      this.act("errand", { action: "pull", worker: this.form.worker, model });
      this.dialog = "";
    },
    confirmed() {
      const { action, what, key } = this.subject;
      this.act(action, what, key);
      this.dialog = "";
    },
    askRetire(name) {
      this.ask("confirm", {
        title: this.labels.retire_title.replace("{name}", () => name),
        text: this.labels.retire_text,
        button: this.labels.retire_do,
        action: "retire",
        what: { worker: name },
      });
    },
    askRemove(key, model) {
      const group = this.groups[key];
      this.ask("confirm", {
        title: this.labels.remove_title.replace("{name}", () => model.name),
        text: this.labels.remove_text.replace("{place}", () => group.backend || group.workers[0]),
        button: this.labels.remove_do,
        action: "errand",
        what: { action: "remove", worker: group.workers[0], model: model.name },
        key: this.modelKey(key, model),
      });
    },
    async copy(text) {
      this.copied = await corral.copy(text);
    },
    // figures
    number(value, digits = 0) {
      return new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
    },
    percent(share) {
      return new Intl.NumberFormat(this.lang, { style: "percent", maximumFractionDigits: 0 }).format(share);
    },
    // files count in thousands, memory in powers of two, as people know their sizes
    bytes(value, base = 1000) {
      const units = ["B", "kB", "MB", "GB", "TB"];
      let step = 0;
      for (; value >= base && step < 4; step++) value /= base;
      return this.number(value, step > 2 && value < 100 ? 1 : 0) + " " + units[step];
    },
    time(at) {
      return new Intl.DateTimeFormat(this.lang, { hour: "2-digit", minute: "2-digit", hour12: false }).format(at * 1000);
    },
    duration(value) {
      const whole = Math.max(0, Math.floor(value));
      if (whole < 60) return this.labels.s.replace("{n}", whole);
      const [d, h, m, s] = [Math.floor(whole / 86400), Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
      if (whole < 3600) return this.labels.m.replace("{m}", m).replace("{s}", s);
      if (whole < 172800) return this.labels.h.replace("{h}", h).replace("{m}", m);
      return this.labels.d.replace("{d}", this.number(d)).replace("{h}", h % 24);
    },
  },
};

function sameModel(one, other) {
  const full = (name) => (name.split("/").pop().includes(":") ? name : name + ":latest").toLowerCase();
  return full(one) === full(other);
}
