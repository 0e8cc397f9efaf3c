// The shortcuts, the sheet that lists them, and the buttons in toasts. Nothing here asks the server but what it is for.
const PATIENCE_MS = 2000; // between "g" and the next key

export default {
  props: { table: Array, labels: Object, lang: String },
  emits: ["redeem"],
  data() {
    return { open: false };
  },
  template: `
  <dialog ref="sheet" class="over sheet-keys" aria-labelledby="keys-title" @click.self="close" @close="open = false">
    <div class="dialog-head"><h2 id="keys-title">{{ labels.title }}</h2>
      <button type="button" class="btn square ghost" :aria-label="labels.close" @click="close"><i class="icon icon-close" aria-hidden="true"></i></button></div>
    <slot></slot>
  </dialog>`,
  created() {
    this.strokes = new Map(this.table.flatMap(([keys, action]) => keys.map((key) => [key, action])));
    this.before = "";
    const create = Quasar.Notify.create; // a button in a toast holds a word, which the server redeems
    Quasar.Notify.create = (toast) =>
      create({ ...toast, actions: toast.actions?.map((each) => (each.token ? { ...each, noCaps: true, handler: () => this.$emit("redeem", each.token) } : each)) });
    this.restore = () => (Quasar.Notify.create = create);
  },
  mounted() {
    document.addEventListener("keydown", this.pressed, true);
    addEventListener("corral-sheet", this.show);
  },
  beforeUnmount() {
    document.removeEventListener("keydown", this.pressed, true);
    removeEventListener("corral-sheet", this.show);
    this.restore();
  },
  methods: {
    pressed(event) {
      if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
      const stroke = strokeOf(event);
      const plain = !/^(mod|alt)\+/.test(stroke);
      if (plain && (writing(event.target) || !corral.keys || document.querySelector("dialog[open], .q-dialog, .q-menu"))) return;
      const both = this.before && event.timeStamp - this.at < PATIENCE_MS ? `${this.before} ${stroke}` : stroke;
      const action = this.strokes.get(both) ?? this.strokes.get(stroke);
      this.before = action || !plain ? "" : stroke;
      this.at = event.timeStamp;
      if (!action) return;
      event.preventDefault();
      event.stopPropagation();
      this.act(action);
    },
    act(action) {
      const [verb, what] = action.split(" ");
      if (verb === "palette") dispatchEvent(new CustomEvent("corral-palette"));
      else if (verb === "go") corral.go(what);
      else if (verb === "new") corral.compose();
      else if (verb === "search") corral.search();
      else if (verb === "fold") seen(`.toggle-${what}`)?.click();
      else if (verb === "sheet") this.show();
    },
    show() {
      this.open = true;
      this.$nextTick(() => this.$refs.sheet?.open || this.$refs.sheet?.showModal());
    },
    close() {
      this.$refs.sheet.close();
    },
  },
};

// "mod+k", "alt+1", "g", "?"; the character counts, not the place on the keyboard, but for Alt, which writes others
function strokeOf(event) {
  const digit = event.code.match(/^Digit(\d)$/)?.[1];
  if (event.altKey && !event.ctrlKey && !event.metaKey && digit) return `alt+${digit}`;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) return `mod+${event.key.toLowerCase()}`;
  return event.ctrlKey || event.metaKey || event.altKey ? "mod+" : event.key.toLowerCase();
}

function writing(target) {
  return target.isContentEditable || Boolean(target.closest?.('input:not([type="checkbox"]):not([type="radio"]), textarea, select, .cm-editor'));
}

function seen(selector) {
  return [...document.querySelectorAll(`.content ${selector}`)].find((each) => each.checkVisibility());
}
