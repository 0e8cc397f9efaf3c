// Facts about one answer. The server says what changed; seconds tick here.
export default {
  props: { state: Object, labels: Object, lang: String },
  data() {
    return { now: this.state, clock: 0 };
  },
  template: `
  <div class="inspector">
    <section v-if="job" class="inspector-part">
      <h2>{{ labels.job }}</h2>
      <dl class="kv">
        <dt>{{ labels.state }}</dt><dd :class="colour">{{ stateName }}</dd>
        <template v-if="job.state === 'waiting' || job.state === 'blocked'"><dt>{{ labels.place }}</dt><dd>{{ place }}</dd></template>
        <template v-if="job.state === 'delayed'"><dt>{{ labels.again }}</dt><dd>{{ labels.in_time.replace("{time}", ticking(Math.ceil(job.due - clock))) }}</dd></template>
        <template v-if="waits"><dt>{{ labels.waited_for }}</dt><dd>{{ ticking(clock - job.queued) }}</dd></template>
        <template v-if="runs"><dt>{{ labels.elapsed }}</dt><dd>{{ ticking(clock - job.started) }}</dd></template>
        <template v-if="job.rate"><dt>{{ labels.speed }}</dt><dd>{{ labels.rate.replace("{n}", number(job.rate, job.rate < 10 ? 1 : 0)) }}</dd></template>
        <template v-if="job.tokens"><dt>{{ labels.tokens }}</dt><dd>{{ number(job.tokens) }}</dd></template>
        <dt>{{ labels.model }}</dt><dd class="clip" :title="job.model">{{ job.model }}</dd>
        <dt>{{ labels.priority }}</dt><dd :class="level(job.priority)">{{ priority }}</dd>
        <template v-if="job.batch"><dt>{{ labels.batch }}</dt><dd class="clip mono" :title="job.batch">{{ job.batch }}</dd></template>
        <template v-if="job.schedule"><dt>{{ labels.schedule }}</dt><dd class="clip" :title="job.schedule">{{ job.schedule }}</dd></template>
        <template v-if="job.starts"><dt>{{ labels.attempts }}</dt><dd>{{ job.losses ? labels.lost.replace("{n}", number(job.starts)) : number(job.starts) }}</dd></template>
        <template v-if="job.worker"><dt>{{ labels.worker }}</dt><dd class="clip" :title="job.worker">{{ job.worker }}</dd></template>
      </dl>
    </section>
    <section v-if="now.attempts.length" class="inspector-part">
      <h2>{{ labels.story }}</h2>
      <ol class="inspector-attempts">
        <li v-for="each in now.attempts" :key="each.number">
          <div class="attempt-head"><span>{{ labels.attempt.replace("{n}", number(each.number)) }}</span><span class="faint clip" :title="each.worker">{{ each.worker }}</span><span class="faint num">{{ lasted(each) }}</span></div>
          <p :class="['retry', 'dead', 'worker_lost'].includes(each.outcome) ? 'is-bad' : 'quiet'">{{ outcome(each) }}</p>
          <details v-if="each.detail"><summary>{{ labels.said }}</summary><pre>{{ each.detail }}</pre></details>
          <details v-if="each.trace"><summary>{{ labels.trace }}</summary><pre>{{ each.trace }}</pre></details>
        </li>
      </ol>
    </section>
    <section v-if="now.ahead.length" class="inspector-part">
      <h2>{{ labels.first }}</h2>
      <ol class="inspector-ahead">
        <li v-for="each in now.ahead" :key="each.place" :class="{ me: each.mine }"><span class="faint">{{ number(each.place) }}</span><span class="clip">{{ each.mine ? labels.mine : each.title || labels.untitled }}</span><span :class="level(each.priority)">{{ priorityName(each.priority) }}</span></li>
      </ol>
    </section>
    <section v-if="now.times" class="inspector-part">
      <h2>{{ now.times.last ? labels.times_last : labels.times }}</h2>
      <div class="inspector-times">
        <div v-for="bar in bars" :key="bar.name"><span>{{ labels[bar.name] }}</span><span class="track"><i :class="bar.name" :style="{ left: bar.left + '%', width: bar.width + '%' }"></i></span><b>{{ duration(bar.seconds) }}</b></div>
      </div>
    </section>
    <section v-if="!job && !now.times" class="inspector-part"><p class="quiet">{{ labels.hint }}</p></section>
    <section v-if="now.workers.length" class="inspector-part">
      <h2>{{ labels.workers }}</h2>
      <ul class="inspector-workers">
        <li v-for="each in now.workers" :key="each.name"><i class="dot" :class="each.problem ? 'bad' : 'ok'"></i><span class="clip" :title="each.name">{{ each.name }}</span><span class="quiet">{{ each.problem ? (labels["problem_" + each.problem] ?? labels.problem) : labels.slots.replace("{busy}", number(each.busy)).replace("{slots}", number(each.slots)) }}</span></li>
      </ul>
    </section>
  </div>`,
  created() {
    this.show(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 1000);
  },
  beforeUnmount() {
    clearInterval(this.timer);
  },
  watch: {
    state(state) {
      this.show(state);
    },
  },
  computed: {
    job() {
      return this.now.job;
    },
    runs() {
      return ["running", "cancelling"].includes(this.job.state) && this.job.started;
    },
    waits() {
      return ["waiting", "delayed", "blocked"].includes(this.job.state) && this.job.queued;
    },
    stateName() {
      const { state } = this.job;
      return this.labels[{ waiting: "waiting_state", running: "running_state" }[state] ?? state];
    },
    colour() {
      return { running: "is-run", waiting: "is-wait", blocked: "is-wait", delayed: "is-wait", completed: "is-ok", dead: "is-bad", unsent: "is-bad" }[this.job.state];
    },
    place() {
      if (this.job.state === "blocked") return this.labels[this.job.after === 1 ? "after_one" : "after_many"].replace("{n}", this.number(this.job.after));
      if (this.job.reason === "no_worker" && this.job.hint) return this.labels["no_" + this.job.hint] ?? this.labels.no_worker;
      if (["no_worker", "limited", "paused"].includes(this.job.reason)) return this.labels[this.job.reason];
      if (this.job.ahead === null) return "—";
      const place = this.number(this.job.ahead + 1) + (this.job.ahead >= this.job.limit ? "+" : "");
      return this.labels.nth.replace("{n}", place).replace("{total}", this.number(Math.max(this.now.total, this.job.ahead + 1)));
    },
    priority() {
      const { priority, rule } = this.job;
      const named = rule && (this.labels["rule_" + rule.replaceAll(" ", "_")] ?? rule);
      return named ? this.labels.by_rule.replace("{priority}", () => this.priorityName(priority)).replace("{rule}", () => named) : this.priorityName(priority);
    },
    bars() {
      const all = this.now.times.parts.reduce((sum, part) => sum + part.seconds, 0) || 1;
      let left = 0;
      return this.now.times.parts.map((part) => {
        const bar = { ...part, left: (left / all) * 100, width: Math.max(0.8, (part.seconds / all) * 100) };
        bar.left = Math.min(bar.left, 100 - bar.width);
        left += part.seconds;
        return bar;
      });
    },
  },
  methods: {
    show(state) {
      this.now = state;
      this.skew = state.now - Date.now() / 1000;
      this.tick();
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
    },
    level(priority) {
      return priority < 0 ? "p-auto" : priority < 4 ? "p-low" : priority < 8 ? "p-normal" : priority < 13 ? "p-high" : "p-real";
    },
    // how an attempt ended, in one sentence
    outcome({ outcome, code }) {
      if (!outcome) return this.labels.goes_on;
      if (!["retry", "dead"].includes(outcome)) return this.labels["ended_" + outcome];
      return (this.labels["fail_" + code] ?? this.labels.fail_other).replace("{model}", () => this.job.model);
    },
    lasted({ started_at, ended_at }) {
      return ended_at ? this.duration(ended_at - started_at) : this.ticking(this.clock - started_at);
    },
    priorityName(priority) {
      if (priority < 0) return this.labels.auto;
      const name = { 1: "low", 5: "normal", 10: "high", 15: "realtime" }[priority];
      return name ? this.labels[name] : this.number(priority);
    },
    number(value, digits = 0) {
      return new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
    },
    ticking(value) {
      return value < 1 ? this.labels.s.replace("{n}", 0) : this.duration(Math.floor(value));
    },
    duration(value) {
      if (value < 0.1) return this.labels.ms.replace("{n}", Math.round(Math.max(0, value) * 1000));
      if (value < 10) return this.labels.s.replace("{n}", this.number(Math.max(0, value), value < 1 ? 2 : 1));
      const whole = Math.round(value);
      if (whole < 60) return this.labels.s.replace("{n}", whole);
      const [m, s] = [Math.floor(whole / 60) % 60, whole % 60];
      if (whole < 3600) return this.labels.m.replace("{m}", m).replace("{s}", s);
      return this.labels.h.replace("{h}", this.number(Math.floor(whole / 3600))).replace("{m}", m);
    },
  },
};
