// Time range, filters and comparison. What is chosen is told; the state comes back as a prop.
const FILTERS = ["user", "model", "priority", "kind", "worker"];

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["change", "zone"],
  data() {
    return { since: "", until: "", wrong: false, find: "", FILTERS };
  },
  template: `
  <div class="range-bar">
    <div class="range-line"><div class="seg ranges" role="radiogroup" :aria-label="labels.range">
      <button v-for="[key, text] in state.ranges" :key="key" type="button" role="radio" :aria-checked="state.range === key" @click="$emit('change', { range: key })">{{ text }}</button>
      <button type="button" role="radio" :aria-checked="state.range === 'custom'" aria-haspopup="dialog">{{ state.range === 'custom' ? period : labels.custom }}
        <q-menu ref="dates" anchor="bottom left" self="top left" :offset="[0, 6]" @before-show="fill"><form class="range-dates" role="dialog" :aria-label="labels.range" @submit.prevent="apply">
          <label><span>{{ labels.since }}</span><input class="field" type="datetime-local" required v-model="since"></label>
          <label><span>{{ labels.until }}</span><input class="field" type="datetime-local" required v-model="until"></label>
          <p v-if="wrong" class="bad" role="alert">{{ labels.backwards }}</p>
          <button type="submit" class="btn primary">{{ labels.apply }}</button></form></q-menu></button></div>
      <label class="compare"><button type="button" class="switch" role="switch" :aria-checked="Boolean(state.compare)" @click="$emit('change', { compare: !state.compare })"><i></i></button>{{ labels.compare }}</label></div>
    <div class="range-line" role="group" :aria-label="labels.filters">
      <button v-for="name in FILTERS" :key="name" type="button" class="pick" :class="{ on: state.filters[name] }" aria-haspopup="menu"><span class="quiet">{{ labels[name] }}</span><span class="clip">{{ state.filters[name] ? text(name, state.filters[name]) : labels.any }}</span><i class="icon icon-down" aria-hidden="true"></i>
        <q-menu anchor="bottom left" self="top left" :offset="[0, 4]" @before-show="find = ''"><div class="range-menu">
          <input v-if="(state.options[name] ?? []).length > 8" class="field" type="search" :placeholder="labels.find" :aria-label="labels.find" v-model="find">
          <div role="menu" :aria-label="labels[name]"><button type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="!state.filters[name]" @click="filter(name, '')">{{ labels.any }}</button>
          <button v-for="[value, said] in fitting(name)" :key="value" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="state.filters[name] === value" @click="filter(name, value)"><span class="clip">{{ said }}</span></button></div>
          <p v-if="find && !fitting(name).length" class="quiet range-none">{{ labels.none }}</p></div></q-menu></button>
      <button v-if="FILTERS.some((name) => state.filters[name])" type="button" class="btn ghost" @click="clear"><i class="icon small icon-close" aria-hidden="true"></i>{{ labels.clear }}</button></div>
  </div>`,
  mounted() {
    this.$emit("zone", Intl.DateTimeFormat().resolvedOptions().timeZone);
    this.setAddress();
  },
  watch: {
    "state.address"() {
      this.setAddress();
    },
  },
  computed: {
    period() {
      const [since, until] = [this.state.since, this.state.until].map((at) => new Date(at * 1000));
      const years = since.getFullYear() !== until.getFullYear() || until.getFullYear() !== new Date().getFullYear();
      const minutes = until - since < 14 * 86_400_000; // of a longer time the days say enough, and fit
      const day = new Intl.DateTimeFormat(this.lang, {
        ...(years && { year: "numeric" }), month: "short", day: "numeric",
        ...(minutes && { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
      });
      return `${day.format(since)} – ${day.format(until)}`;
    },
  },
  methods: {
    fill() {
      this.wrong = false;
      this.since = local(this.state.since);
      this.until = local(this.state.until);
    },
    apply() {
      const [since, until] = [this.since, this.until].map((text) => new Date(text).getTime() / 1000);
      this.wrong = !(until > since);
      if (this.wrong) return;
      this.$emit("change", { since, until });
      this.$refs.dates?.hide();
    },
    filter(name, value) {
      this.$emit("change", { filters: { [name]: value } });
    },
    clear() {
      this.$emit("change", { filters: Object.fromEntries(FILTERS.map((name) => [name, ""])) });
    },
    fitting(name) {
      const wanted = this.find.trim().toLowerCase();
      return (this.state.options[name] ?? []).filter(([, said]) => !wanted || said.toLowerCase().includes(wanted)).slice(0, 200);
    },
    text(name, value) {
      return (this.state.options[name] ?? []).find(([each]) => each === value)?.[1] ?? value;
    },
    // without a step in the history of the browser
    setAddress() {
      const path = this.state.address;
      const whole = (window.path_prefix || "") + path;
      if (location.pathname + location.search !== whole) history.replaceState({ page: path }, "", whole);
    },
  },
};

// for a datetime-local field: the local time without its zone
function local(at) {
  const when = new Date(at * 1000);
  return new Date(when.getTime() - when.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
