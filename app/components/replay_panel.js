// A comparison of orders: a button that plays the jobs once more, how far it is, and what came of it.
import { watchSeen } from "corral-figures";

export default {
  props: { labels: Object, lang: String },
  emits: ["ready", "seen", "run", "stop"],
  data() {
    return { state: null, resident: "", slots: {} };
  },
  template: `
  <section class="chart-card replay" :aria-label="labels.title" :aria-busy="busy">
    <div class="replay-line"><button type="button" class="btn" :disabled="!state" @click="busy ? $emit('stop') : run()"><i class="icon small" :class="busy ? 'icon-stop' : 'icon-play'" aria-hidden="true"></i>{{ busy ? labels.stop : state?.about ? labels.again : labels.run }}</button>
      <template v-if="busy"><div class="progress" :class="{ endless: percent == null }" role="progressbar" :aria-label="labels.running" aria-valuemin="0" aria-valuemax="100" :aria-valuenow="percent"><i :style="{ width: (percent ?? 0) + '%' }"></i></div>
      <span v-if="percent != null" class="replay-share">{{ written(percent / 100) }}</span></template>
      <p class="replay-note" role="status">{{ state?.phase === "queued" ? labels.queued : busy ? labels.running : state?.note }}</p></div>
    <details class="replay-machines"><summary>{{ labels.machines }}</summary>
      <form class="replay-fields" @submit.prevent="busy || run()"><label><span>{{ labels.resident }}</span><input class="field" type="number" min="1" max="100" :placeholder="labels.as_was" v-model="resident"></label>
        <fieldset v-if="state?.workers?.length"><legend>{{ labels.slots }}<small>{{ labels.slots_hint }}</small></legend><div class="replay-slots">
          <label v-for="worker in state.workers" :key="worker"><span class="clip mono" :title="worker">{{ worker }}</span><input class="field" type="number" min="1" max="1024" :placeholder="labels.as_was" :aria-label="labels.slots_of.replace('{name}', () => worker)" v-model="slots[worker]"></label></div></fieldset></form></details>
    <div v-if="state?.about" class="replay-found"><p v-for="(line, n) in state.lines" :class="{ lead: !n }">{{ line }}</p>
      <p class="quiet">{{ state.about.replace("{time}", () => time) }} <template v-for="line in state.notes">{{ line }} </template></p></div>
  </section>`,
  computed: {
    busy() {
      return this.state?.phase === "queued" || this.state?.phase === "running";
    },
    percent() {
      return this.state?.share == null ? null : Math.floor(100 * this.state.share);
    },
    time() {
      const day = new Intl.DateTimeFormat(this.lang, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      return day.formatRange(new Date(this.state.since * 1000), new Date(this.state.until * 1000));
    },
  },
  mounted() {
    this.unwatch = watchSeen(this.$el, (seen) => this.$emit("seen", seen));
    this.$emit("ready");
  },
  unmounted() {
    this.unwatch();
  },
  methods: {
    show(state) {
      this.state = state;
    },
    run() {
      if (!this.valid()) return;
      const known = this.state.workers ?? [];
      const slots = Object.fromEntries(Object.entries(this.slots).filter(([worker, n]) => n && known.includes(worker)).map(([worker, n]) => [worker, Number(n)]));
      this.$emit("run", { slots, resident: Number(this.resident) || null });
    },
    // a field that is wrong is shown and told by the browser
    valid() {
      const form = this.$el.querySelector("form");
      if (form.checkValidity()) return true;
      form.parentElement.open = true;
      this.$nextTick(() => form.reportValidity());
      return false;
    },
    written(share) {
      return new Intl.NumberFormat(this.lang, { style: "percent" }).format(share);
    },
  },
};
