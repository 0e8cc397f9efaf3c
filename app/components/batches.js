// Batches: one bar for all jobs of each, and a list of the jobs of the one that is open.
import { Confirm, Words } from "corral-queue";

const PARTS = ["completed", "dead", "cancelled", "running"];
const DOTS = { running: "run live", cancelling: "run", completed: "ok", dead: "bad", waiting: "held", delayed: "held", blocked: "held" };

export default {
  components: { "queue-confirm": Confirm },
  props: { state: Object, labels: Object, lang: String },
  emits: ["open", "cancel", "more"],
  data() {
    return { ready: false, batches: [], more: false, opened: "", jobs: [], more_jobs: false, chosen: "", clock: 0, question: null };
  },
  template: `
  <div class="qx">
    <div v-if="!ready" class="skeletons" aria-hidden="true"><i v-for="n in 4" class="skeleton" style="height:64px"></i></div>
    <slot v-else-if="!batches.length"></slot>
    <ul v-else role="list"><li v-for="each in batches" :key="each.batch_id" class="qx-batch" :data-batch="each.batch_id">
      <div class="qx-row" :class="{ marked: opened === each.batch_id }">
        <button type="button" class="btn ghost square" :aria-expanded="opened === each.batch_id" :aria-label="labels[opened === each.batch_id ? 'hide' : 'show'] + words.colon + name(each)" @click="open(each)"><i class="icon small" :class="opened === each.batch_id ? 'icon-down' : 'icon-right'" aria-hidden="true"></i></button>
        <div class="qb-two qx-name"><b class="clip" :title="name(each)">{{ name(each) }}</b><span class="faint clip">{{ [each.user, words.fill("opened_at", { time: words.moment(each.opened_at) })].filter(Boolean).join(" · ") }}</span></div>
        <div class="qx-progress"><div class="qx-bar" role="progressbar" aria-valuemin="0" :aria-valuemax="each.total" :aria-valuenow="done(each)" :aria-label="labels.progress + words.colon + name(each)"><i v-for="part in parts" :class="part" :style="{ width: share(each, part) }"></i></div>
          <p class="qx-counts num"><template v-for="part in parts"><span v-if="each[part]" :class="part">{{ words.fill("n_" + part, { n: words.number(each[part]) }) }}</span></template><span v-if="waiting(each)" class="faint">{{ words.fill("n_waiting", { n: words.number(waiting(each)) }) }}</span><span v-if="missing(each)" class="faint">{{ words.fill("missing", { n: words.number(missing(each)) }) }}</span></p></div>
        <div class="qb-two qx-figure num"><span>{{ words.fill("done_of", { done: words.number(done(each)), total: words.number(each.total) }) }}</span><span class="faint">{{ time(each) }}</span></div>
        <span class="qx-do"><a class="btn ghost square tip-left" :class="{ off: !done(each) }" :href="'/api/batches/' + each.batch_id + '/results?wait=false'" :download="file(each)" :aria-label="labels.download + words.colon + name(each)" :data-tip="labels.download"><i class="icon icon-save" aria-hidden="true"></i></a>
        <button type="button" class="btn ghost square tip-left" :disabled="!!each.ended_at" :aria-label="labels.cancel_all + words.colon + name(each)" :data-tip="labels.cancel_all" @click="cancel(each)"><i class="icon icon-close" aria-hidden="true"></i></button></span>
      </div>
      <div v-if="opened === each.batch_id" class="qx-open">
        <div class="seg" role="radiogroup" :aria-label="labels.state"><button v-for="state in states" type="button" role="radio" :aria-checked="chosen === state" @click="$emit('open', each.batch_id, state)">{{ state ? labels["state_" + state] : labels.all }}</button></div>
        <ul role="list" class="qx-jobs"><li v-for="job in jobs" :key="job.id"><i class="dot" :class="dots[job.state]" aria-hidden="true"></i><a class="clip" :class="{ mono: !job.says && job.known }" :href="'/jobs/' + job.id" :title="job.says || job.id">{{ job.says || (job.known ? job.id : "…") }}</a><span class="quiet clip qx-kind">{{ labels[job.kind] }} · {{ job.model }}</span><span class="clip" :class="job.state === 'dead' ? 'is-bad' : 'quiet'">{{ job.state === "dead" ? fail(job) : labels["state_" + job.state] }}</span><span class="num quiet qx-ran">{{ job.ran ? words.duration(job.ran) : "" }}</span></li></ul>
        <p v-if="!jobs.length" class="quiet">{{ labels.no_jobs }}</p>
        <button v-if="more_jobs" type="button" class="btn ghost" @click="$emit('more', 'jobs')">{{ labels.more_jobs }}</button>
      </div>
    </li></ul>
    <button v-if="more" type="button" class="btn ghost" @click="$emit('more', 'batches')">{{ labels.more_batches }}</button>
    <queue-confirm :question="question" :labels="labels" @over="question = null"></queue-confirm>
  </div>`,
  created() {
    this.parts = PARTS;
    this.dots = DOTS;
    this.states = ["", "running", "waiting", "completed", "dead", "cancelled"];
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
    words() {
      return new Words(this.labels, this.lang);
    },
  },
  methods: {
    show({ state, ...rest }) {
      if (state !== undefined) this.chosen = state;
      Object.assign(this, rest);
      if (rest.now) this.skew = rest.now - Date.now() / 1000;
      this.tick();
    },
    tick() {
      this.clock = Date.now() / 1000 + (this.skew || 0);
    },
    name(each) {
      return each.name || each.batch_id;
    },
    file(each) {
      return (each.name || each.batch_id).replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80) + ".ndjson";
    },
    done(each) {
      return each.completed + each.dead + each.cancelled;
    },
    missing(each) {
      return each.ended_at ? 0 : Math.max(0, each.total - each.submitted);
    },
    waiting(each) {
      return Math.max(0, each.submitted - this.done(each) - each.running);
    },
    share(each, part) {
      return (100 * each[part]) / Math.max(1, each.total) + "%";
    },
    time(each) {
      if (each.ended_at) return this.words.fill("over", { time: this.words.duration(each.ended_at - each.opened_at) });
      const done = this.done(each);
      const spent = this.clock - each.opened_at;
      if (done < 3 || done >= each.total || spent < 2) return this.labels.going;
      return this.words.fill("left", { time: this.words.ticking((spent / done) * (each.total - done)) });
    },
    fail(job) {
      return (this.labels["fail_" + job.code] ?? this.labels.fail_other).replace("{model}", () => job.model);
    },
    open(each) {
      const id = this.opened === each.batch_id ? "" : each.batch_id;
      history.replaceState(history.state, "", (window.path_prefix ?? "") + "/queue/batches" + (id && "?id=" + encodeURIComponent(id)));
      this.$emit("open", id, "");
    },
    cancel(each) {
      const n = this.words.number(each.total - this.done(each));
      this.question = { title: this.words.fill("cancel_ask", { name: this.name(each) }), text: this.words.fill("cancel_why", { n }), yes: this.labels.cancel_all, then: () => this.$emit("cancel", each.batch_id) };
    },
  },
};
