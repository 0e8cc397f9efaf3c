// A labelled control. What is being written belongs to the browser; the server hears of it when it is settled.
const LIVE_MS = 200;

export default {
  props: {
    kind: String, value: null, label: String, hint: String, placeholder: String, error: String, unit: String,
    enabled: Boolean, live: Boolean, bare: Boolean, options: Array, limits: Object,
  },
  emits: ["change"],
  data() {
    return { now: this.value, id: "c" + Math.random().toString(36).slice(2, 10) };
  },
  template: `
  <div class="control" :class="['control-' + kind, { bare, bad: error }]" @click.stop>
    <template v-if="kind === 'switch'">
      <button :id="id" type="button" role="switch" class="switch" :aria-checked="Boolean(now)" :aria-labelledby="id + '-name'" :aria-describedby="told" :disabled="!enabled" @click="settle(!now)"><i></i></button>
      <span class="control-name" :id="id + '-name'" @click="enabled && settle(!now)">{{ label }}</span>
    </template>
    <template v-else-if="kind === 'segments'">
      <span v-if="!bare" class="control-name">{{ label }}</span>
      <div class="seg" role="radiogroup" :aria-label="label" :aria-describedby="told" @keydown="steer">
        <button v-for="each in options" :key="each.value" type="button" role="radio" :aria-checked="each.value === now" :tabindex="each.value === focusable ? 0 : -1" :disabled="!enabled" @click="settle(each.value)">{{ each.name }}</button></div>
    </template>
    <template v-else>
      <label :class="bare ? 'sr' : 'control-name'" :for="id">{{ label }}</label>
      <span class="control-line">
        <textarea v-if="kind === 'area'" ref="area" :id="id" class="field" v-bind="limits" :value="now" :placeholder="placeholder" :disabled="!enabled" :aria-invalid="Boolean(error)" :aria-describedby="told" @input="typed" @change="settled"></textarea>
        <span v-else-if="kind === 'select'" class="select"><select :id="id" class="field" :value="at" :disabled="!enabled" :aria-invalid="Boolean(error)" :aria-describedby="told" @change="settle(options[$event.target.value].value)">
          <option v-if="at < 0" value="-1" disabled>{{ now }}</option><option v-for="(each, nth) in options" :key="nth" :value="nth">{{ each.name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
        <input v-else :id="id" class="field" :type="kind" v-bind="limits" :value="now" :placeholder="placeholder" :disabled="!enabled" :aria-invalid="Boolean(error)" :aria-describedby="told" autocomplete="off" @input="typed" @change="settled">
        <span v-if="unit" class="faint">{{ unit }}</span>
      </span>
    </template>
    <p v-if="error" :id="id + '-told'" class="control-error" role="alert">{{ error }}</p>
    <p v-else-if="hint" :id="id + '-told'" class="control-hint">{{ hint }}</p>
  </div>`,
  computed: {
    told() {
      return this.error || this.hint ? this.id + "-told" : undefined;
    },
    at() {
      return this.options.findIndex((each) => each.value === this.now);
    },
    focusable() {
      return this.options[Math.max(0, this.at)]?.value;
    },
  },
  watch: {
    value(value) {
      clearTimeout(this.timer);
      this.now = value;
      this.$nextTick(this.fit);
    },
  },
  mounted() {
    this.fit();
  },
  beforeUnmount() {
    clearTimeout(this.timer);
  },
  methods: {
    read(target) {
      if (this.kind !== "number") return target.value;
      return target.value === "" || Number.isNaN(target.valueAsNumber) ? null : target.valueAsNumber;
    },
    typed(event) {
      this.now = this.read(event.target);
      this.fit();
      if (!this.live || event.isComposing) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.settle(this.now), LIVE_MS);
    },
    settled(event) {
      clearTimeout(this.timer);
      this.settle(this.read(event.target));
    },
    settle(value) {
      this.now = value;
      if (value === this.said) return;
      this.said = value;
      this.$emit("change", value);
      this.$nextTick(() => (this.said = undefined)); // the same may be meant again later
    },
    steer(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (Math.max(0, this.at) + step + this.options.length) % this.options.length;
      this.settle(this.options[next].value);
      this.$nextTick(() => this.$el.querySelectorAll('[role="radio"]')[next]?.focus());
    },
    fit() {
      const area = this.$refs.area;
      if (!area) return;
      area.style.height = "auto";
      area.style.height = `min(${area.scrollHeight + 2}px, 40vh)`;
    },
  },
};
