// The last jobs as bars: how long each took, how it ended; the newest is on the right.
const HEIGHT = 34;

export default {
  props: { jobs: Array, summary: String, labels: Object, lang: String },
  emits: ["open"],
  template: `
  <section class="last-jobs" :aria-label="labels.title">
    <div class="last-jobs-said"><h2>{{ labels.title }}</h2><p class="quiet">{{ summary }}</p></div>
    <div class="last-jobs-bars" role="toolbar" :aria-label="labels.title">
      <button v-for="(job, nth) in jobs" :key="job.id" type="button" class="last-jobs-bar" :class="job.state" :aria-label="say(job)" :data-tip="say(job)"
        :tabindex="nth === jobs.length - 1 ? 0 : -1" @keydown.left="step($event, -1)" @keydown.right="step($event, 1)" @click="$emit('open', job.id)"><i :style="{ height: height(job) + 'px' }"></i></button>
    </div>
  </section>`,
  computed: {
    most() {
      return Math.max(1, ...this.jobs.map((job) => job.took));
    },
  },
  methods: {
    height(job) {
      return Math.max(4, Math.round(HEIGHT * Math.sqrt(job.took / this.most)));
    },
    say(job) {
      const took = job.took < 10 ? Math.round(job.took * 10) / 10 : Math.round(job.took);
      return [this.labels[job.state], job.model, this.labels.s.replace("{n}", new Intl.NumberFormat(this.lang).format(took))].join(" · ");
    },
    step(event, by) {
      const next = by < 0 ? event.target.previousElementSibling : event.target.nextElementSibling;
      next?.focus();
    },
  },
};
