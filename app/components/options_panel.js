// What the model of this conversation is asked to observe, in a sheet at the side; and presets, under which that is kept.
const FIGURES = ["temperature", "top_p", "top_k", "repeat_penalty", "seed"];
const LENGTHS = ["num_ctx", "num_predict"];
const CHOICES = { think: ["", "on", "off"], format: ["", "json"] };

export default {
  // state: {form, presets: [{name, form, default}], ranges: {field: [low, high, whole]}, model}
  props: { state: Object, labels: Object, lang: String },
  emits: ["apply", "preset"],
  data() {
    return { form: { ...this.state.form }, refused: {}, naming: null, busy: false };
  },
  template: `
  <dialog ref="dialog" class="side-sheet" :aria-label="labels.title" @click.self="close" @cancel="closed" @close="closed">
    <form class="options" novalidate @submit.prevent="apply">
      <header class="options-head"><div class="grow"><h2>{{ labels.title }}</h2><p class="faint clip">{{ state.model }}</p></div>
        <button type="button" class="btn square ghost" :aria-label="labels.close" @click="close"><i class="icon icon-close"></i></button></header>
      <div class="options-body">
        <section class="options-presets">
          <label class="control"><span class="control-name">{{ labels.preset }}</span>
            <span class="control-line"><span class="select"><select class="field" :value="preset" @change="take($event.target.value)"><option value="">{{ labels.no_preset }}</option>
              <option v-for="each in state.presets" :key="each.name" :value="each.name">{{ each.default ? each.name + ' · ' + labels.default : each.name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
            <template v-if="known"><button type="button" class="btn square ghost" :aria-pressed="known.default" :class="{ starred: known.default }" :aria-label="labels.make_default" :title="labels.make_default" @click="$emit('preset', 'default', known.default ? '' : known.name)"><i class="icon icon-star"></i></button>
            <button type="button" class="btn square ghost" :aria-label="labels.delete_preset" :title="labels.delete_preset" @click="$emit('preset', 'delete', known.name)"><i class="icon icon-trash"></i></button></template></span></label>
          <div v-if="naming !== null" class="control-line"><input ref="name" class="field grow" v-model="naming" maxlength="60" :placeholder="labels.name" :aria-label="labels.name" @keydown.enter.prevent="named" @keydown.esc.prevent.stop="naming = null">
            <button type="button" class="btn" :disabled="!naming.trim() || wrong" @click="named">{{ labels.keep }}</button></div>
          <button v-else type="button" class="btn ghost tiny options-keep" :disabled="wrong" @click="name"><i class="icon icon-plus"></i>{{ labels.keep_as }}</button>
        </section>
        <label class="control" :class="{ bad: mistakes.system }"><span class="control-name">{{ labels.system }}</span>
          <textarea class="field" rows="5" v-model="form.system" :placeholder="labels.system_hint" @input="touch('system')"></textarea>
          <span v-if="mistakes.system" class="control-error" role="alert">{{ mistakes.system }}</span></label>
        <div class="options-grid">
          <label v-for="field in figures" :key="field" class="control" :class="{ bad: mistakes[field] }"><span class="control-name" :title="labels[field + '_why']">{{ labels[field] }}</span>
            <input class="field num" :inputmode="state.ranges[field][2] ? 'numeric' : 'decimal'" autocomplete="off" v-model="form[field]" :placeholder="labels.own" :aria-invalid="Boolean(mistakes[field])" @input="touch(field)">
            <span v-if="mistakes[field]" class="control-error" role="alert">{{ mistakes[field] }}</span><span v-else class="control-hint">{{ labels[field + '_why'] }}</span></label>
        </div>
        <div class="options-grid">
          <label v-for="field in lengths" :key="field" class="control" :class="{ bad: mistakes[field] }"><span class="control-name">{{ labels[field] }}</span>
            <input class="field num" inputmode="numeric" autocomplete="off" v-model="form[field]" :placeholder="labels.own" :aria-invalid="Boolean(mistakes[field])" @input="touch(field)">
            <span v-if="mistakes[field]" class="control-error" role="alert">{{ mistakes[field] }}</span><span v-else class="control-hint">{{ labels[field + '_why'] }}</span></label>
        </div>
        <p v-if="reloads" class="options-note" role="status"><i class="icon icon-info small" aria-hidden="true"></i><span>{{ labels.reloads }}</span></p>
        <label class="control" :class="{ bad: mistakes.stop }"><span class="control-name">{{ labels.stop }}</span>
          <textarea class="field" rows="2" v-model="form.stop" @input="touch('stop')"></textarea>
          <span v-if="mistakes.stop" class="control-error" role="alert">{{ mistakes.stop }}</span><span v-else class="control-hint">{{ labels.stop_why }}</span></label>
        <div v-for="(values, field) in choices" :key="field" class="control"><span class="control-name" :id="'option-' + field">{{ labels[field] }}</span>
          <div class="seg" role="radiogroup" :aria-labelledby="'option-' + field" @keydown="steer($event, field, values)"><button v-for="value in values" :key="value" type="button" role="radio" :aria-checked="form[field] === value" :tabindex="form[field] === value ? 0 : -1" @click="choose(field, value)">{{ labels[field + '_' + (value || 'auto')] }}</button></div></div>
        <label class="control" :class="{ bad: mistakes.keep_alive }"><span class="control-name">{{ labels.keep_alive }}</span>
          <input class="field num" autocomplete="off" v-model="form.keep_alive" :placeholder="labels.own" :aria-invalid="Boolean(mistakes.keep_alive)" @input="touch('keep_alive')">
          <span v-if="mistakes.keep_alive" class="control-error" role="alert">{{ mistakes.keep_alive }}</span><span v-else class="control-hint">{{ labels.keep_alive_why }}</span></label>
      </div>
      <footer class="options-foot"><button type="button" class="btn ghost" :disabled="empty" @click="clear">{{ labels.clear }}</button><span class="grow"></span>
        <button type="button" class="btn" @click="close">{{ labels.cancel }}</button><button type="submit" class="btn primary" :disabled="wrong || busy">{{ labels.apply }}</button></footer>
    </form>
  </dialog>`,
  created() {
    Object.assign(this, { figures: FIGURES, lengths: LENGTHS, choices: CHOICES });
  },
  watch: {
    state(now, before) {
      if (!this.$refs.dialog?.open && JSON.stringify(now.form) !== JSON.stringify(before.form)) this.form = { ...now.form };
      if (this.wanted && now.presets.some((each) => each.name === this.wanted)) this.form.preset = this.wanted;
      if (this.form.preset && !now.presets.some((each) => each.name === this.form.preset)) this.form.preset = "";
    },
  },
  computed: {
    known() {
      return this.state.presets.find((each) => each.name === this.form.preset);
    },
    preset() {
      return this.known?.name ?? "";
    },
    mistakes() {
      const found = {};
      for (const field of [...FIGURES, ...LENGTHS]) {
        const text = String(this.form[field]).trim().replace(",", ".");
        const [low, high, whole] = this.state.ranges[field];
        const value = Number(text);
        if (!text || (Number.isFinite(value) && value >= low && value <= high && (!whole || /^\d+$/.test(text)))) continue;
        found[field] = this.say(whole ? "whole" : "number", { low: this.number(low), high: this.number(high) });
      }
      for (const [field, kind] of Object.entries(this.refused)) found[field] ??= this.say(kind, this.bounds(field));
      return found;
    },
    wrong() {
      return Object.keys(this.mistakes).length > 0;
    },
    empty() {
      return Object.entries(this.form).every(([field, value]) => field === "preset" || !String(value).trim());
    },
    reloads() {
      return String(this.form.num_ctx).trim() !== this.state.form.num_ctx;
    },
  },
  methods: {
    // called from the server
    open() {
      this.form = { ...this.state.form };
      Object.assign(this, { refused: {}, naming: null, busy: false });
      this.$refs.dialog.showModal();
      this.$nextTick(() => this.$el.querySelector(".options-body")?.scrollTo(0, 0));
    },
    applied() {
      this.$refs.dialog.close();
    },
    refuse(mistakes) {
      this.busy = false;
      this.refused = mistakes;
      this.$nextTick(() => this.$el.querySelector(".control.bad .field")?.focus());
    },

    close() {
      this.$refs.dialog.close();
    },
    closed() {
      this.busy = false;
    },
    touch(field) {
      if (field in this.refused) {
        const { [field]: gone, ...rest } = this.refused;
        this.refused = rest;
      }
    },
    choose(field, value) {
      this.form[field] = value;
    },
    steer(event, field, values) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.form[field] = values[(values.indexOf(this.form[field]) + step + values.length) % values.length];
      this.$nextTick(() => event.target.parentElement.querySelector('[aria-checked="true"]')?.focus());
    },
    take(name) {
      const preset = this.state.presets.find((each) => each.name === name);
      this.form = preset ? { ...preset.form } : { ...this.form, preset: "" };
      this.refused = {};
    },
    clear() {
      for (const field in this.form) this.form[field] = "";
      this.refused = {};
    },
    name() {
      this.naming = this.preset;
      this.$nextTick(() => this.$refs.name?.focus());
    },
    named() {
      if (!this.naming.trim() || this.wrong) return;
      this.wanted = this.naming.trim().replace(/\s+/g, " ");
      this.$emit("preset", "save", this.wanted, { ...this.form });
      this.naming = null;
    },
    apply() {
      if (this.wrong || this.busy) return;
      this.busy = true;
      this.$emit("apply", { ...this.form });
    },
    bounds(field) {
      const [low, high] = this.state.ranges[field] ?? [0, 0];
      return { low: this.number(low), high: this.number(high) };
    },
    say(name, values) {
      return (this.labels["wrong_" + name] ?? "").replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
    },
    number(value) {
      return new Intl.NumberFormat(this.lang).format(value);
    },
  },
};
