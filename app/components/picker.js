// A field that suggests what there is while one types; anything else may be written too. Settled by Enter or leaving it.
const SHOWN = 60;

const folded = (text) => text.normalize("NFKC").toLowerCase().trim();

export default {
  props: { value: String, label: String, placeholder: String, options: Array, limits: Object, labels: Object, enabled: Boolean, lang: String },
  emits: ["change"],
  data() {
    return { text: this.value, written: false, open: false, at: -1, id: "c" + Math.random().toString(36).slice(2, 10) };
  },
  template: `
  <div class="control picker" :class="{ chosen: value }" @click.stop @focusout="left">
    <label class="sr" :for="id">{{ label }}</label>
    <span class="control-line"><input ref="input" :id="id" type="text" class="field" role="combobox" aria-autocomplete="list" :aria-expanded="open" :aria-controls="id + '-list'" :aria-activedescendant="open && at >= 0 ? id + '-' + at : null"
      :value="text" :placeholder="placeholder" v-bind="limits" :disabled="!enabled" autocomplete="off" spellcheck="false" @click="show" @input="typed" @keydown="keyed">
      <button v-if="text" type="button" class="picker-clear" :aria-label="labels.clear + colon + label" @click="choose('')"><i class="icon icon-close" aria-hidden="true"></i></button>
      <i v-else class="icon icon-down picker-down" aria-hidden="true"></i></span>
    <ul v-show="open" ref="list" :id="id + '-list'" class="picker-list" role="listbox" :aria-label="label" @mousedown.prevent>
      <li v-for="(name, nth) in fits" :key="name" :id="id + '-' + nth" role="option" :aria-selected="nth === at" :class="{ is: name === value }" @mousemove="at = nth" @click="choose(name)"><span class="clip">{{ name }}</span><i v-if="name === value" class="icon icon-check small" aria-hidden="true"></i></li>
      <li v-if="!fits.length" class="picker-none" role="presentation">{{ labels.none }}</li>
    </ul>
    <span class="sr" role="status">{{ open ? labels.count.replace("{n}", fits.length) : "" }}</span>
  </div>`,
  computed: {
    // what is written chooses among them; before anything is written, all are there to choose from
    fits() {
      const names = this.options.map((each) => each.name);
      const wanted = folded(this.text);
      if (!this.written || !wanted) return names.slice(0, SHOWN);
      const found = names.filter((name) => folded(name).includes(wanted));
      return found.sort((one, other) => folded(other).startsWith(wanted) - folded(one).startsWith(wanted)).slice(0, SHOWN);
    },
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
  },
  watch: {
    value(value) {
      this.text = value;
      this.written = false;
    },
  },
  methods: {
    show() {
      this.open = true;
      this.written = false;
      this.at = this.fits.indexOf(this.value);
      this.$nextTick(this.follow);
    },
    hide() {
      this.open = false;
      this.at = -1;
    },
    typed(event) {
      this.text = event.target.value;
      this.written = this.open = true;
      this.at = -1;
    },
    keyed(event) {
      if (event.isComposing || event.keyCode === 229) return;
      const last = this.fits.length - 1;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (!this.open) return this.show();
        const step = event.key === "ArrowDown" ? 1 : -1;
        this.at = this.at < 0 ? (step > 0 ? 0 : last) : (this.at + step + last + 1) % (last + 1);
        this.$nextTick(this.follow);
      } else if (event.key === "Enter") {
        event.preventDefault();
        this.choose(this.open && this.at >= 0 ? this.fits[this.at] : this.text.trim());
      } else if (event.key === "Escape" && this.open) {
        event.stopPropagation();
        this.text = this.value;
        this.hide();
      }
    },
    follow() {
      this.$refs.list?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
    },
    left(event) {
      if (this.$el.contains(event.relatedTarget)) return;
      this.hide();
      if (this.text.trim() !== this.value) this.choose(this.text.trim());
    },
    choose(name) {
      this.hide();
      this.text = name;
      if (document.activeElement !== this.$refs.input && this.$el.contains(document.activeElement)) this.$refs.input.focus();
      if (name !== this.value) this.$emit("change", name);
    },
  },
};
