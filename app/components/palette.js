// Opens at once with what is fixed; titles, models and jobs come in beneath it as the server finds them.
const ASK_MS = 60;
const ORDER = ["page", "action", "conversation", "said", "model", "job"];

export default {
  props: { fixed: Array, labels: Object, lang: String },
  emits: ["ask", "run"],
  data() {
    return { text: "", found: [], about: "", own: this.fixed, at: 0, nth: 0, open: false };
  },
  template: `
  <dialog ref="dialog" class="over palette" :aria-label="labels.title" @click.self="close" @close="open = false">
    <div class="palette-line"><i class="icon icon-search" aria-hidden="true"></i>
      <input ref="input" type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-autocomplete="list" :aria-activedescendant="items.length ? 'palette-' + at : null"
        :aria-label="labels.title" :placeholder="labels.placeholder" :value="text" autocomplete="off" spellcheck="false" maxlength="200" @input="typed" @keydown="keyed"></div>
    <div ref="list" id="palette-list" role="listbox" class="palette-list" :aria-label="labels.title" @mousedown.prevent>
      <div v-for="group in groups" :key="group.kind" role="group" :aria-labelledby="'palette-of-' + group.kind">
        <div role="presentation" class="palette-head" :id="'palette-of-' + group.kind">{{ group.name }}</div>
        <div v-for="item in group.items" :key="item.at" :id="'palette-' + item.at" role="option" class="palette-item" :aria-selected="item.at === at" @mousemove="at = item.at" @click="choose(item)">
          <i class="icon" :class="'icon-' + item.icon" aria-hidden="true"></i><span class="clip">{{ item.name }}</span><i v-if="item.dot" class="dot" :class="item.dot"></i><span class="grow"></span>
          <span v-if="item.note || item.when" class="faint" :class="{ clip: item.kind === 'said' }">{{ [item.note, when(item.when)].filter(Boolean).join(" · ") }}</span></div>
      </div>
    </div>
    <p v-if="!items.length" class="palette-none">{{ labels.none.replace("{text}", () => text.trim()) }}</p>
    <p class="sr" role="status">{{ open ? labels.count.replace("{n}", items.length) : "" }}</p>
    <footer aria-hidden="true"><span><kbd>↑</kbd><kbd>↓</kbd> {{ labels.move }}</span><span><kbd>{{ labels.enter }}</kbd> {{ labels.open }}</span><span><kbd>{{ labels.escape }}</kbd> {{ labels.leave }}</span></footer>
  </dialog>`,
  computed: {
    groups() {
      const wanted = folded(this.text);
      const fixed = this.own
        .map((item) => ({ ...item, fit: wanted ? Math.max(score(folded(item.name), wanted), score(item.also, wanted) - 0.5) : 1 }))
        .filter((item) => item.fit > 0)
        .sort((one, other) => other.fit - one.fit);
      // what was found for another text stays until the answer comes, as far as it fits
      const found = this.about === wanted ? this.found : this.found.filter((item) => score(folded(item.name), wanted) > 1);
      let at = 0;
      const order = wanted ? ORDER : ["conversation", "page", "action"];
      return order
        .map((kind) => ({ kind, name: kind === "conversation" && !wanted ? this.labels.recent : this.labels[kind], items: [...fixed, ...found].filter((item) => item.kind === kind) }))
        .filter((group) => group.items.length)
        .map((group) => ({ ...group, items: group.items.map((item) => ({ ...item, at: at++ })) }));
    },
    items() {
      return this.groups.flatMap((group) => group.items);
    },
  },
  watch: {
    fixed(fixed) {
      this.own = fixed;
    },
  },
  mounted() {
    addEventListener("corral-palette", this.show);
  },
  beforeUnmount() {
    removeEventListener("corral-palette", this.show);
    clearTimeout(this.timer);
  },
  methods: {
    show() {
      const dialog = this.$refs.dialog;
      if (dialog.open) return this.close();
      document.querySelectorAll("dialog[open]").forEach((each) => each.close());
      this.text = "";
      this.at = 0;
      if (this.about) Object.assign(this, { about: "", found: [] }); // nothing of the time before: the answer is on its way
      this.open = true;
      dialog.showModal();
      this.$refs.input.focus();
      this.ask();
    },
    close() {
      this.$refs.dialog.close();
    },
    typed(event) {
      this.text = event.target.value;
      this.at = 0;
      clearTimeout(this.timer);
      this.timer = setTimeout(this.ask, ASK_MS);
    },
    ask() {
      this.asked = folded(this.text);
      this.$emit("ask", ++this.nth, this.text.trim());
    },
    // called from the server
    answer({ nth, found, fixed }) {
      const chosen = this.items[this.at];
      if (fixed) this.own = fixed;
      if (nth !== this.nth) return; // more was typed meanwhile
      this.found = found;
      this.about = this.asked;
      const same = this.items.findIndex((item) => item.name === chosen?.name && item.kind === chosen?.kind);
      this.at = this.at && same > 0 ? same : 0; // who has moved already stays there
    },
    keyed(event) {
      if (event.isComposing || event.keyCode === 229) return;
      const last = this.items.length - 1;
      const to = { ArrowDown: this.at < last ? this.at + 1 : 0, ArrowUp: this.at > 0 ? this.at - 1 : last, PageDown: Math.min(last, this.at + 8), PageUp: Math.max(0, this.at - 8) }[event.key];
      if (to !== undefined) this.at = Math.max(0, to);
      else if (event.key === "Enter") this.items[this.at] && this.choose(this.items[this.at]);
      else return;
      event.preventDefault();
      this.$nextTick(() => {
        if (this.at === 0) this.$refs.list?.scrollTo(0, 0);
        else this.$refs.list?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
      });
    },
    // the time for what is of today, the day for what is older (unix seconds)
    when(at) {
      if (!at) return "";
      const then = new Date(at * 1000), now = new Date();
      const days = Math.round((new Date(now).setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 86400000);
      if (days === 0) return new Intl.DateTimeFormat(this.lang, { hour: "2-digit", minute: "2-digit", hour12: false }).format(then);
      if (days === 1) return new Intl.RelativeTimeFormat(this.lang, { numeric: "auto" }).format(-1, "day");
      const year = then.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
      return new Intl.DateTimeFormat(this.lang, { ...year, month: "short", day: "numeric" }).format(then);
    },
    choose(item) {
      this.close();
      if (item.href) corral.go(item.href);
      else if (item.model) corral.compose({ model: item.model });
      else if (item.run?.startsWith("js ")) this.here(item.run.slice(3));
      else this.$emit("run", item.run);
    },
    // what needs no server
    here(what) {
      if (what === "compose") corral.compose();
      else if (what === "sheet") dispatchEvent(new CustomEvent("corral-sheet"));
      else if (what === "address") corral.copy(location.href);
    },
  },
};

function folded(text) {
  return text.normalize("NFKC").toLowerCase().split(/\s+/).filter(Boolean).join(" ");
}

// as app/palette.py scores
function score(name, wanted) {
  if (name.startsWith(wanted)) return 4;
  if (name.includes(wanted)) return 3;
  const words = wanted.split(" ");
  if (words.every((word) => name.includes(word))) return 2;
  if (words.length > 1 || wanted.length < 2 || !/^[\x20-\x7e]+$/.test(wanted)) return 0;
  let from = 0;
  for (const letter of wanted) if (!(from = name.indexOf(letter, from) + 1)) return 0;
  return 1;
}
