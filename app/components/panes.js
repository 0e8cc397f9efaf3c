// Panes at the sides are inline where there is room, and sheets over the page where there is not.
const ROOM = { list: "(min-width: 900px)", inspector: "(min-width: 1200px)" };
const WIDTHS = { list: { least: 200, usual: 280, most: 480 }, inspector: { least: 240, usual: 312, most: 560 } }; // px
const MIDDLE = 420; // px that the middle keeps
const STEP = 16; // px for an arrow key
const FOLD = 90; // px below the least at which a dragged pane folds

export default {
  props: { name: String, used: Array, labels: Object, lang: String },
  data() {
    return { room: { list: true, inspector: true }, closed: read(this.name).closed ?? [], sheet: "" };
  },
  template: `
  <div>
    <div v-if="sheet" class="panes-shade" @click="close"></div>
    <template v-for="pane in used" :key="pane">
      <aside :id="name + '-pane-' + pane" :class="['pane', 'pane-' + pane, { sheet: !room[pane], open: shown(pane) }]" :inert="!shown(pane)" :aria-label="labels[pane]"
        :role="sheet === pane ? 'dialog' : null" :aria-modal="sheet === pane ? 'true' : null" @keydown.esc="close" @click="followed">
        <button v-if="!room[pane]" type="button" class="btn square ghost pane-close" :aria-label="labels.close" @click="close"><i class="icon icon-close" aria-hidden="true"></i></button>
        <slot :name="pane"></slot>
      </aside>
      <div v-if="room[pane] && shown(pane)" :class="['pane-edge', 'edge-' + pane]" role="separator" tabindex="0" aria-orientation="vertical" :aria-controls="name + '-pane-' + pane"
        :aria-label="labels.width.replace('{name}', () => labels[pane])" :aria-valuemin="limits[pane].least" :aria-valuemax="limits[pane].most" :aria-valuenow="widths[pane]"
        @pointerdown="drag(pane, $event)" @keydown="push(pane, $event)" @dblclick="set(pane, limits[pane].usual)"></div>
    </template>
    <section class="pane-middle" :inert="Boolean(sheet)"><slot></slot></section>
  </div>`,
  created() {
    this.limits = WIDTHS;
    this.widths = { list: WIDTHS.list.usual, inspector: WIDTHS.inspector.usual, ...read(this.name).widths };
    this.queries = Object.entries(ROOM).map(([pane, query]) => [pane, matchMedia(query)]);
    this.measure();
  },
  mounted() {
    for (const [, query] of this.queries) query.addEventListener("change", this.measure);
    for (const pane of this.used) this.set(pane, this.widths[pane], false);
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
      this.keep();
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

    // widths: past Vue, so that dragging redraws nothing but the layout
    set(pane, width, keep = true) {
      const { least, most } = WIDTHS[pane];
      const others = this.used.filter((each) => each !== pane && this.room[each] && this.shown(each));
      const room = this.$el.clientWidth - MIDDLE - others.reduce((sum, each) => sum + this.widths[each], 0);
      this.widths[pane] = Math.round(Math.max(least, Math.min(width, most, Math.max(least, room))));
      this.$el.style.setProperty(`--${pane}`, this.widths[pane] + "px");
      this.$el.querySelector(".edge-" + pane)?.setAttribute("aria-valuenow", this.widths[pane]);
      if (keep) this.keep();
    },
    drag(pane, event) {
      if (event.button !== 0) return;
      event.preventDefault();
      const edge = event.currentTarget;
      const sign = pane === "list" ? 1 : -1;
      const [from, width] = [event.clientX, this.widths[pane]];
      edge.setPointerCapture(event.pointerId);
      edge.classList.add("held");
      const move = ({ clientX }) => {
        const wanted = width + sign * (clientX - from);
        if (wanted < WIDTHS[pane].least - FOLD) return end(), this.toggle(pane);
        this.set(pane, wanted, false);
      };
      const end = () => {
        edge.classList.remove("held");
        edge.removeEventListener("pointermove", move);
        this.keep();
      };
      edge.addEventListener("pointermove", move);
      edge.addEventListener("lostpointercapture", end, { once: true });
    },
    push(pane, event) {
      const sign = pane === "list" ? 1 : -1;
      const { least, most } = WIDTHS[pane];
      const to = {
        ArrowRight: this.widths[pane] + sign * STEP, ArrowLeft: this.widths[pane] - sign * STEP, Home: least, End: most,
      }[event.key];
      if (to !== undefined) this.set(pane, to);
      else if (event.key === "Enter") this.toggle(pane);
      else return;
      event.preventDefault();
    },
    keep() {
      try {
        localStorage.setItem("corral-panes:" + this.name, JSON.stringify({ closed: this.closed, widths: this.widths }));
      } catch {} // it is not remembered then
    },
  },
};

function read(name) {
  try {
    return JSON.parse(localStorage.getItem("corral-panes:" + name)) ?? {};
  } catch {
    return {};
  }
}
