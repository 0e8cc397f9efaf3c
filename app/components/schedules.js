// Schedules: what is made when, and a form that says what a cron line means while one writes it.
import { Confirm, LEVELS, Words, levelOf } from "corral-queue";

const QUICK = { hourly: "0 * * * *", daily: "0 7 * * *", workdays: "0 9 * * 1-5", weekly: "0 9 * * 1", monthly: "0 9 1 * *" };
const NEW = { id: "", name: "", cron: "0 7 * * 1-5", timezone: "", model: "", kind: "chat", prompt: "", system: "", priority: 5, missed: "skip", enabled: true, simple: true };
const DOTS = { running: "run live", cancelling: "run", completed: "ok", dead: "bad", waiting: "held", delayed: "held", blocked: "held" };

export default {
  components: { "queue-confirm": Confirm },
  props: { state: Object, labels: Object, lang: String },
  emits: ["save", "preview", "switch", "remove", "run", "load"],
  data() {
    return { ...this.state, clock: 0, form: null, wrong: {}, meaning: null, saving: false, question: null, opened: new URLSearchParams(location.search).get("id") };
  },
  template: `
  <div class="qs">
    <div class="qs-bar"><span class="grow"></span><button type="button" class="btn primary" @click="open(null)"><i class="icon icon-plus small" aria-hidden="true"></i>{{ labels.add }}</button></div>
    <div v-if="!ready" class="skeletons" aria-hidden="true"><i v-for="n in 4" class="skeleton" style="height:48px"></i></div>
    <slot v-else-if="!schedules.length"></slot>
    <ul v-else class="qs-list" role="list"><li v-for="each in schedules" :key="each.id" class="qs-row" :class="{ off: !each.enabled, marked: each.id === opened }" :data-schedule="each.id">
      <button type="button" class="switch" role="switch" :aria-checked="each.enabled" :aria-label="labels.on + words.colon + each.name" @click="$emit('switch', each.id, !each.enabled)"><i></i></button>
      <div class="qb-two qs-name"><b class="clip" :title="each.name">{{ each.name }}</b><span class="faint clip" :title="each.says">{{ each.says || labels[each.kind] }}</span></div>
      <div class="qb-two qs-when"><span class="clip" :title="each.words || each.cron">{{ each.words || each.cron }}</span><span class="faint clip"><code v-if="each.words">{{ each.cron }}</code> {{ each.timezone }}</span></div>
      <div class="qb-two qs-next num"><template v-if="each.enabled && each.next.length"><span>{{ words.fill("in_time", { time: coarse(each.next[0] - clock) }) }}</span><span class="faint" :title="each.next.map((at) => words.moment(at)).join('\\n')">{{ words.moment(each.next[0]) }}</span></template><span v-else class="faint">{{ labels.off }}</span></div>
      <div class="qb-two qs-last"><a v-if="each.last" class="clip" :href="'/jobs/' + each.last.id"><i class="dot" :class="dots[each.last.state]" aria-hidden="true"></i>{{ labels["state_" + each.last.state] }}</a><span v-else class="faint">{{ labels.none }}</span><span v-if="each.last" class="faint num">{{ words.moment(each.last.at) }}</span></div>
      <div class="qb-two qs-model"><span class="clip" :title="each.model">{{ each.model }}</span><span class="clip small" :class="levelOf(each.priority)">{{ words.priority(each.priority) }}</span></div>
      <span class="qs-do"><button type="button" class="btn ghost square tip-left" :aria-label="labels.run + words.colon + each.name" :data-tip="labels.run" @click="$emit('run', each.id)"><i class="icon icon-play" aria-hidden="true"></i></button>
      <button type="button" class="btn ghost square tip-left" :aria-label="labels.edit + words.colon + each.name" :data-tip="labels.edit" @click="open(each)"><i class="icon icon-pencil" aria-hidden="true"></i></button>
      <button type="button" class="btn ghost square tip-left" :aria-label="labels.remove + words.colon + each.name" :data-tip="labels.remove" @click="remove(each)"><i class="icon icon-trash" aria-hidden="true"></i></button></span>
    </li></ul>
    <q-dialog :model-value="!!form" :aria-label="form?.id ? labels.edit_title : labels.add" @hide="form = null" transition-duration="120">
      <div v-if="form" class="dialog wide"><form class="qs-form" @submit.prevent="save" novalidate>
        <div class="dialog-head"><h2>{{ form.id ? labels.edit_title : labels.add }}</h2><button type="button" class="btn ghost square" :aria-label="labels.close" v-close-popup><i class="icon icon-close" aria-hidden="true"></i></button></div>
        <div class="qs-fields">
          <label class="control" :class="{ bad: wrong.name }"><span class="control-name">{{ labels.name }}</span><input class="field" ref="name" v-model="form.name" maxlength="200" :aria-invalid="!!wrong.name" autofocus><span v-if="wrong.name" class="control-error" role="alert">{{ wrong.name }}</span></label>
          <label class="control" :class="{ bad: wrong.model }"><span class="control-name">{{ labels.model }}</span><span class="select"><select class="field" v-model="form.model" :aria-invalid="!!wrong.model"><option v-for="name in choices" :value="name">{{ name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span><span v-if="wrong.model" class="control-error" role="alert">{{ wrong.model }}</span></label>
          <div class="control qs-wide" :class="{ bad: wrong.cron }"><label class="control-name" for="qs-cron">{{ labels.cron }}</label><div class="control-line"><input id="qs-cron" class="field mono" v-model="form.cron" maxlength="200" spellcheck="false" :aria-invalid="!!wrong.cron" aria-describedby="qs-said" @input="look"></div>
            <div class="qs-quick" role="group" :aria-label="labels.quick"><button v-for="(line, name) in quick" type="button" class="chip" :class="{ soft: form.cron === line }" @click="form.cron = line; look()">{{ labels[name] }}</button></div>
            <span v-if="wrong.cron" id="qs-said" class="control-error" role="alert">{{ wrong.cron }}</span>
            <span v-else id="qs-said" class="control-hint">{{ meaning?.words ? meaning.words + " · " : "" }}<template v-if="meaning?.next.length">{{ labels.next_runs }}{{ words.colon }}{{ meaning.next.map((at) => inZone(at)).join(" · ") }}</template><template v-else>{{ labels.cron_hint }}</template></span></div>
          <label class="control" :class="{ bad: wrong.timezone }"><span class="control-name">{{ labels.zone }}</span><input class="field" v-model="form.timezone" list="qs-zones" maxlength="100" spellcheck="false" :aria-invalid="!!wrong.timezone" @input="look"><datalist id="qs-zones"><option v-for="zone in zones" :value="zone"></option></datalist><span v-if="wrong.timezone" class="control-error" role="alert">{{ wrong.timezone }}</span></label>
          <label class="control"><span class="control-name">{{ labels.priority }}</span><span class="select"><select class="field" v-model.number="form.priority"><option v-for="[value, key] in priorities" :value="value">{{ key ? labels[key] : value }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span><span v-if="wrong.priority" class="control-error" role="alert">{{ wrong.priority }}</span></label>
          <template v-if="form.simple"><label class="control qs-wide" :class="{ bad: wrong.prompt }"><span class="control-name">{{ labels.prompt }}</span><textarea class="field" rows="4" v-model="form.prompt" maxlength="100000" :aria-invalid="!!wrong.prompt"></textarea><span v-if="wrong.prompt" class="control-error" role="alert">{{ wrong.prompt }}</span></label>
          <label class="control qs-wide"><span class="control-name">{{ labels.system }}</span><textarea class="field" rows="2" v-model="form.system" maxlength="20000"></textarea></label></template>
          <p v-else class="quiet qs-wide">{{ labels.by_program }}</p>
          <label class="control qs-wide"><span class="control-name">{{ labels.missed }}</span><span class="select"><select class="field" v-model="form.missed"><option value="skip">{{ labels.missed_skip }}</option><option value="once">{{ labels.missed_once }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span></label>
        </div>
        <div class="dialog-foot"><button type="button" class="btn" v-close-popup>{{ labels.close }}</button><button type="submit" class="btn primary" :disabled="saving">{{ saving ? labels.saving : labels.save }}</button></div>
      </form></div>
    </q-dialog>
    <queue-confirm :question="question" :labels="labels" @over="question = null"></queue-confirm>
  </div>`,
  created() {
    this.dots = DOTS;
    this.quick = QUICK;
    this.levelOf = levelOf;
    this.show(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 1000);
  },
  beforeUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.late);
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
    choices() {
      return this.form.model && !this.models.includes(this.form.model) ? [this.form.model, ...this.models] : this.models;
    },
    priorities() {
      const known = LEVELS.some(([value]) => value === this.form.priority);
      return known ? LEVELS : [[this.form.priority, ""], ...LEVELS];
    },
  },
  methods: {
    show(state) {
      Object.assign(this, state);
      if (state.now) this.skew = state.now - Date.now() / 1000;
      this.tick();
    },
    tick() {
      this.clock = Date.now() / 1000 + (this.skew || 0);
      const due = this.schedules.some(({ enabled, next }) => enabled && next[0] && next[0] < this.clock - 1);
      if (due && this.clock - (this.asked || 0) > 3) {
        this.asked = this.clock;
        this.$emit("load");
      }
    },
    coarse(seconds) {
      return this.words.duration(seconds > 3600 ? Math.floor(seconds / 60) * 60 : Math.max(0, Math.floor(seconds)));
    },
    inZone(at) {
      const options = { weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false };
      try {
        return new Intl.DateTimeFormat(this.lang, { ...options, timeZone: this.form.timezone }).format(at * 1000);
      } catch {
        return this.words.moment(at); // a zone that this browser does not know
      }
    },
    open(each) {
      const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
      const { id, name, cron, timezone, model, kind, prompt, system, priority, missed, enabled, simple } = each ?? { ...NEW, timezone: here, model: this.models[0] ?? "" };
      this.form = { id, name, cron, timezone, model, kind, prompt, system, priority, missed, enabled, simple };
      this.wrong = {};
      this.meaning = null;
      this.look();
    },
    look() {
      clearTimeout(this.late);
      this.late = setTimeout(() => this.form && this.$emit("preview", this.form.cron, this.form.timezone), 200);
    },
    preview(meaning) {
      this.meaning = meaning;
      this.wrong = { ...this.wrong, cron: "", timezone: "", ...(meaning.field && { [meaning.field]: meaning.why }) };
    },
    save() {
      this.saving = true;
      this.wrong = {};
      const { simple, ...form } = this.form;
      this.$emit("save", form);
    },
    saved() {
      this.saving = false;
      this.form = null;
    },
    refused(field, why) {
      this.saving = false;
      this.wrong = { [field]: why };
      this.$nextTick(() => document.querySelector(".qs-form [aria-invalid=true]")?.focus());
    },
    remove(each) {
      this.question = { title: this.words.fill("remove_ask", { name: each.name }), text: this.labels.remove_why, yes: this.labels.remove, then: () => this.$emit("remove", each.id) };
    },
  },
};
