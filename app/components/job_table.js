// The queue as tables: rows come as patches and are kept here, times tick here, nothing is asked of the server.
const LEVELS = [
  [1, "low"],
  [5, "normal"],
  [10, "high"],
  [15, "realtime"],
];

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["stop", "priority", "gap", "open"],
  data() {
    return { ...this.state, clock: 0, pending: {}, exact: 5 };
  },
  template: `
  <div class="jobs">
    <div v-if="!ready" class="jobs-wait" aria-hidden="true"><i v-for="n in 4" class="skeleton" style="height:38px"></i></div>
    <section v-if="running.length" :aria-label="labels.running">
      <div class="section-head"><h2>{{ labels.running }}</h2><span class="faint">{{ number(running.length) }}</span></div>
      <table class="table jobs-running"><thead><tr><th class="job-name">{{ labels.job }}</th><th class="c-model">{{ labels.model }}</th><th class="c-prio">{{ labels.priority }}</th><th class="c-user">{{ labels.user }}</th>
        <th class="c-worker">{{ labels.worker }}</th><th class="c-speed num">{{ labels.speed }}</th><th class="c-time num">{{ labels.elapsed }}</th><th class="c-act"><span class="sr">{{ labels.actions }}</span></th></tr></thead>
      <tbody><tr v-for="id in running" :key="id" :data-job="id">
        <td class="job-name"><i class="dot" :class="'run live'"></i><component :is="rows[id].conversation ? 'a' : 'span'" :href="link(id)" class="job-title">{{ title(id) }}</component><span v-if="note(id)" class="faint note">{{ note(id) }}</span></td>
        <td class="c-model quiet">{{ rows[id].model }}</td>
        <td class="c-prio"><span class="chip" :class="level(id)">{{ name(id) }}</span></td>
        <td class="c-user quiet">{{ rows[id].user || '—' }}</td>
        <td class="c-worker quiet">{{ rows[id].worker }}</td>
        <td class="c-speed num">{{ speed(id) }}</td>
        <td class="c-time num">{{ ticking(clock - rows[id].started) }}</td>
        <td class="c-act"><button type="button" class="btn ghost" :disabled="busy(id)" :aria-label="labels.stop + colon + title(id)" @click="stop(id)">
          {{ busy(id) ? labels.stopping : labels.stop }}</button></td>
      </tr></tbody></table>
    </section>
    <section v-if="waiting.length" :aria-label="labels.waiting">
      <div class="section-head"><h2>{{ labels.waiting }}</h2><span class="faint">{{ number(total) }}</span></div>
      <table class="table jobs-waiting"><thead><tr><th class="job-name">{{ labels.job }}</th><th class="c-model">{{ labels.model }}</th><th class="c-prio">{{ labels.priority }}</th><th class="c-user">{{ labels.user }}</th>
        <th class="c-ahead">{{ labels.ahead }}</th><th class="c-time num">{{ labels.waited }}</th><th class="c-act"><span class="sr">{{ labels.actions }}</span></th></tr></thead>
      <tbody><tr v-for="id in waiting" :key="id" :data-job="id">
        <td class="job-name"><i class="dot" :class="'held'"></i><component :is="rows[id].conversation ? 'a' : 'span'" :href="link(id)" class="job-title">{{ title(id) }}</component><span v-if="note(id)" class="faint note">{{ note(id) }}</span></td>
        <td class="c-model quiet">{{ rows[id].model }}</td>
        <td class="c-prio"><button type="button" class="chip" :class="level(id)" :aria-label="labels.change + colon + name(id)" aria-haspopup="menu">{{ name(id) }}<i class="icon icon-down"></i>
          <q-menu anchor="bottom left" self="top left" :offset="[0, 4]" @before-show="exact = rows[id].priority">
            <div role="menu" class="jobs-menu">
              <button v-for="[value, key] in levels" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="rows[id].priority === value"
                @click="prioritise(id, value)"><span :class="levelOf(value)">●</span><span class="grow">{{ labels[key] }}</span><span class="faint">{{ value }}</span></button>
              <form class="jobs-exact" @submit.prevent="prioritise(id, exact)"><label><span class="quiet">{{ labels.exact }}</span>
                <input class="field" type="number" min="0" max="15" step="1" required v-model.number="exact"></label>
                <button class="btn" type="submit" v-close-popup="valid ? 1 : 0">{{ labels.set }}</button></form>
            </div>
          </q-menu></button></td>
        <td class="c-user quiet">{{ rows[id].user || '—' }}</td>
        <td class="c-ahead" :title="place(id)">{{ place(id) }}</td>
        <td class="c-time num">{{ ticking(clock - rows[id].queued) }}</td>
        <td class="c-act"><button type="button" class="btn ghost" :disabled="busy(id)" :aria-label="labels.cancel + colon + title(id)" @click="stop(id)">
          {{ busy(id) ? labels.stopping : labels.cancel }}</button></td>
      </tr></tbody></table>
      <p v-if="total > waiting.length" class="jobs-more quiet">{{ labels.more.replace('{n}', number(total - waiting.length)) }}</p>
    </section>
    <slot v-if="ready && !running.length && !waiting.length"></slot>
    <section v-if="finished.length" :aria-label="labels.finished">
      <div class="section-head"><h2>{{ labels.finished }}</h2></div>
      <table class="table jobs-finished"><thead><tr><th class="job-name">{{ labels.job }}</th><th class="c-model">{{ labels.model }}</th><th class="c-prio">{{ labels.outcome }}</th><th class="c-user">{{ labels.user }}</th>
        <th class="c-time num">{{ labels.waited }}</th><th class="c-ran num">{{ labels.ran }}</th><th class="c-speed num">{{ labels.speed }}</th><th class="c-ended num">{{ labels.ended }}</th></tr></thead>
      <tbody><tr v-for="id in finished" :key="id" :data-job="id">
        <td class="job-name"><i class="dot" :class="dots[rows[id].state]"></i><component :is="rows[id].conversation ? 'a' : 'span'" :href="link(id)" class="job-title">{{ title(id) }}</component></td>
        <td class="c-model quiet">{{ rows[id].model }}</td>
        <td class="c-prio"><span class="chip soft" :class="rows[id].state" :title="rows[id].detail">{{ labels[rows[id].state] }}</span></td>
        <td class="c-user quiet">{{ rows[id].user || '—' }}</td>
        <td class="c-time num">{{ duration(rows[id].waited) }}</td>
        <td class="c-ran num">{{ rows[id].started ? duration(rows[id].ran) : '—' }}</td>
        <td class="c-speed num">{{ speed(id) }}</td>
        <td class="c-ended num quiet">{{ time(rows[id].ended) }}</td>
      </tr></tbody></table>
    </section>
  </div>`,
  created() {
    this.levels = LEVELS;
    this.dots = { completed: "ok", dead: "bad", cancelled: "" };
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
    valid() {
      return Number.isInteger(this.exact) && this.exact >= 0 && this.exact <= 15;
    },
  },
  methods: {
    take(state) {
      Object.assign(this, state);
      this.skew = state.now - Date.now() / 1000;
      this.tick();
    },
    // a patch says which version it makes; one that does not fit was missed, and the whole is asked for
    patch(patch) {
      if (patch.version !== this.version + 1) return this.$emit("gap");
      const { rows, ...rest } = patch;
      const kept = { ...this.rows, ...rows };
      Object.assign(this, rest);
      const shown = new Set([...this.running, ...this.waiting, ...this.finished]);
      for (const id in kept) if (!shown.has(id)) delete kept[id];
      for (const id in rows) delete this.pending[id];
      this.rows = kept;
      this.skew = patch.now - Date.now() / 1000;
      this.tick();
    },
    settle(id) {
      delete this.pending[id];
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
    },
    stop(id) {
      this.pending[id] = true;
      this.$emit("stop", id);
    },
    prioritise(id, value) {
      if (!Number.isInteger(value) || value < 0 || value > 15 || value === this.rows[id].priority) return;
      this.rows[id].priority = value;
      this.$emit("priority", id, value);
    },
    busy(id) {
      return this.pending[id] || this.rows[id].state === "cancelling";
    },
    link(id) {
      return this.rows[id].conversation ? "/chat/" + encodeURIComponent(this.rows[id].conversation) : undefined;
    },
    title(id) {
      return this.rows[id].title || this.labels[this.rows[id].kind] || "—";
    },
    levelOf(priority) {
      return priority < 4 ? "p-low" : priority < 8 ? "p-normal" : priority < 13 ? "p-high" : "p-real";
    },
    level(id) {
      return this.levelOf(this.rows[id].priority);
    },
    name(id) {
      const priority = this.rows[id].priority;
      const known = LEVELS.find(([value]) => value === priority);
      return known ? this.labels[known[1]] : String(priority);
    },
    note(id) {
      const row = this.rows[id];
      const origin = [
        row.schedule && this.labels.by_schedule.replace("{name}", row.schedule),
        row.batch && !row.schedule && this.labels.of_batch,
        row.claims > 1 && this.labels.shared.replace("{n}", this.number(row.claims)),
      ];
      return [this.story(row), ...origin].filter(Boolean).join(" · ");
    },
    // what has happened to it
    story(row) {
      if (row.state === "delayed") return this.labels.retry_in.replace("{time}", this.ticking(Math.ceil(row.due - this.clock)));
      if (row.requeue === "worker_lost") return this.labels.worker_lost;
      if (row.requeue === "handed_back") return this.labels.handed_back;
      if (row.requeue === "retry") return this.labels.again.replace("{n}", this.number(row.starts + (row.state === "running" ? 0 : 1)));
      return "";
    },
    place(id) {
      const row = this.rows[id];
      if (row.state === "delayed") return row.code ? this.labels.failed_once : "";
      if (row.state === "blocked") return this.labels[row.after === 1 ? "after_one" : "after_many"].replace("{n}", this.number(row.after));
      if (row.reason === "no_worker") return this.labels["no_" + row.hint] ?? this.labels.no_worker;
      if (row.reason === "paused") return this.labels.paused;
      if (row.reason === "limited") {
        const rest = Math.ceil(row.due - this.clock);
        return rest > 0 ? this.labels.limited_for.replace("{time}", this.ticking(rest)) : this.labels.limited;
      }
      if (row.ahead === null) return "";
      if (row.ahead === 0) return this.labels.next;
      return (row.ahead >= this.limit ? this.labels.many_ahead : this.labels.n_ahead).replace("{n}", this.number(row.ahead));
    },
    speed(id) {
      const rate = this.rows[id].rate;
      return rate ? this.labels.rate.replace("{n}", this.number(rate, rate < 10 ? 1 : 0)) : "—";
    },
    number(value, digits = 0) {
      return new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
    },
    time(at) {
      return new Intl.DateTimeFormat(this.lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }).format(at * 1000);
    },
    ticking(value) {
      return this.duration(Math.max(0, Math.floor(value)));
    },
    duration(value) {
      const whole = Math.max(0, Math.floor(value));
      if (value < 10) return this.labels.s.replace("{n}", this.number(Math.max(0, value), Number.isInteger(value) ? 0 : 1));
      if (whole < 60) return this.labels.s.replace("{n}", whole);
      const [m, s] = [Math.floor(whole / 60) % 60, whole % 60];
      if (whole < 3600) return this.labels.m.replace("{m}", m).replace("{s}", s);
      return this.labels.h.replace("{h}", this.number(Math.floor(whole / 3600))).replace("{m}", m);
    },
  },
};
