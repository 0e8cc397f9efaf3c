// Panes at the sides are inline where there is room, and sheets over the page where there is not.
const ROOM = { list: "(min-width: 900px)", inspector: "(min-width: 1200px)" };
const CLOSED = "corral-closed-panes";

export default {
  props: { labels: Object, lang: String },
  data() {
    return { room: { list: true, inspector: true }, closed: closedBefore(), sheet: "" };
  },
  template: `
  <div>
    <div v-if="sheet" class="panes-shade" @click="close"></div>
    <aside v-for="pane in ['list', 'inspector']" :key="pane" :class="['pane', 'pane-' + pane, { sheet: !room[pane], open: shown(pane) }]" :style="{ order: pane === 'list' ? 0 : 2 }"
      :inert="!shown(pane)" :aria-label="labels[pane]" :role="sheet === pane ? 'dialog' : null" :aria-modal="sheet === pane ? 'true' : null" @keydown.esc="close" @click="followed">
      <button v-if="!room[pane]" type="button" class="btn square ghost pane-close" :aria-label="labels.close" @click="close"><i class="icon icon-close"></i></button>
      <slot :name="pane"></slot>
    </aside>
    <section class="pane-middle" :inert="Boolean(sheet)"><slot></slot></section>
  </div>`,
  created() {
    this.queries = Object.entries(ROOM).map(([pane, query]) => [pane, matchMedia(query)]);
    this.measure();
  },
  mounted() {
    for (const [, query] of this.queries) query.addEventListener("change", this.measure);
    this.$watch(() => [this.shown("list"), this.shown("inspector")], this.tell, { immediate: true, flush: "post" });
  },
  beforeUnmount() {
    for (const [, query] of this.queries) query.removeEventListener("change", this.measure);
  },
  methods: {
    toggle(pane) {
      if (!this.room[pane]) {
        this.opener = document.activeElement;
        this.sheet = this.sheet === pane ? "" : pane;
        if (this.sheet) this.$nextTick(() => this.$el.querySelector(`.pane-${pane} .pane-close`)?.focus());
        return;
      }
      this.closed = this.closed.includes(pane) ? this.closed.filter((each) => each !== pane) : [...this.closed, pane];
      try {
        localStorage.setItem(CLOSED, JSON.stringify(this.closed));
      } catch {} // it is not remembered then
    },
    close() {
      if (!this.sheet) return;
      this.sheet = "";
      this.$nextTick(() => this.opener?.focus?.());
    },
    // a link in a sheet was followed: what it led to is behind the sheet
    followed(event) {
      if (event.target.closest("a[href]")) this.sheet = "";
    },
    shown(pane) {
      return this.room[pane] ? !this.closed.includes(pane) : this.sheet === pane;
    },
    measure() {
      this.room = Object.fromEntries(this.queries.map(([pane, query]) => [pane, query.matches]));
      if (this.sheet && this.room[this.sheet]) this.sheet = "";
    },
    tell() {
      for (const pane of Object.keys(ROOM))
        for (const button of this.$el.querySelectorAll(".toggle-" + pane)) button.setAttribute("aria-expanded", this.shown(pane));
    },
  },
};

function closedBefore() {
  try {
    return JSON.parse(localStorage.getItem(CLOSED)) ?? [];
  } catch {
    return [];
  }
}
