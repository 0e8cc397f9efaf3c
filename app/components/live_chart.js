// A chart in its card: numbers are pushed into it without rebuilding, it can be read as a table and taken away.
import { echarts } from "nicegui-echart";
import { amount, colour, figuresCsv, options, rowsOf, save, savePicture, watchSeen } from "corral-figures";

export default {
  props: { spec: Object, labels: Object, lang: String },
  emits: ["ready", "seen", "pick"],
  data() {
    return { state: "loading", problem: "", asTable: false, version: 0 };
  },
  template: `
  <section class="chart-card" :class="'form-' + spec.form" :data-state="state" :aria-label="labels.title" :aria-busy="state === 'loading'">
    <header class="chart-head"><div class="grow"><h2>{{ labels.title }}</h2><p v-if="labels.hint" class="chart-hint">{{ labels.hint }}</p></div>
      <span v-if="spec.choices" class="seg small" role="radiogroup" :aria-label="labels.choose"><button v-for="each in spec.choices" type="button" role="radio"
        :aria-checked="each === spec.choice" @click="$emit('pick', each)">{{ labels['choice_' + each] }}</button></span>
      <button type="button" class="btn square ghost chart-more" :aria-label="labels.more + ' · ' + labels.title" aria-haspopup="menu"><i class="icon icon-more" aria-hidden="true"></i>
        <q-menu anchor="bottom right" self="top right" :offset="[0, 4]"><div role="menu">
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="turn">{{ asTable ? labels.as_chart : labels.as_table }}</button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup :disabled="state !== 'ok'" @click="picture">{{ labels.png }}</button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup :disabled="state !== 'ok'" @click="file">{{ labels.csv }}</button>
        </div></q-menu></button></header>
    <div class="chart-place">
      <div v-show="!asTable" ref="place" class="live-chart" role="img" :aria-label="labels.title"></div>
      <div v-if="asTable && state === 'ok'" class="chart-table" tabindex="0" role="region" :aria-label="labels.title"><table class="table"><thead><tr><th v-for="(text, n) in table.head" :class="{ num: n }" scope="col">{{ text }}</th></tr></thead>
        <tbody><tr v-for="(row, r) in table.rows"><td v-for="(value, n) in row" :class="{ num: n }"><a v-if="!n && table.links?.[r]" :href="table.links[r]">{{ value }}</a><template v-else>{{ n ? said(value, table.units[n]) : value }}</template></td></tr></tbody></table></div>
      <div v-if="state === 'loading'" class="skeleton chart-wait" aria-hidden="true"></div>
      <p v-if="state === 'empty'" class="chart-empty">{{ labels.empty }}</p>
      <p v-if="state === 'problem'" class="chart-empty" role="status">{{ problem }}</p>
    </div>
  </section>`,
  computed: {
    table() {
      void this.version;
      return rowsOf(this.spec, this.shown, this.say(), this.names());
    },
  },
  mounted() {
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.chart = echarts.init(this.$refs.place, null, { renderer: "svg" });
    this.chart.on("click", (event) => this.follow(this.shown?.links?.[event.dataIndex]));
    this.observer = new ResizeObserver(() => {
      if (!this.$refs.place?.offsetWidth) return; // hidden for now
      this.chart.resize();
      this.draw();
    });
    this.observer.observe(this.$refs.place);
    this.repaint = () => this.draw();
    addEventListener("corral-theme", this.repaint);
    this.unwatch = watchSeen(this.$el, (seen) => this.$emit("seen", seen));
    this.$emit("ready"); // whatever was shown before is shown now
  },
  unmounted() {
    this.unwatch();
    this.observer.disconnect();
    removeEventListener("corral-theme", this.repaint);
    this.chart.dispose();
  },
  watch: {
    labels() {
      this.draw();
    },
    spec() {
      this.draw();
    },
  },
  methods: {
    // data: {empty} or {problem} or what the form takes; see live_chart.py
    show(data) {
      this.state = data.problem ? "problem" : data.empty ? "empty" : "ok";
      this.problem = data.problem ?? "";
      this.moved = !this.shown || this.shown.at?.[0] !== data.at?.[0]; // bars would morph into their neighbours
      if (this.state === "ok") {
        this.fresh = true;
        this.shown = data;
      }
      this.draw();
    },
    // drop so many steps in front, then these values at these places; what is behind the end is appended
    change({ drop, at, series }) {
      if (!this.shown) return;
      this.shown.at.splice(0, drop);
      this.shown.at.push(...at);
      for (const [name, values] of Object.entries(series)) {
        this.shown.series[name].splice(0, drop);
        for (const [index, value] of Object.entries(values)) this.shown.series[name][index] = value;
      }
      this.moved = drop > 0;
      this.draw();
    },
    say() {
      return { lang: this.lang, labels: this.labels };
    },
    // what each series is called: the data's own names go first (models), then the card's texts
    names() {
      const ids = this.spec.series?.length ? this.spec.series.map((line) => line.id) : Object.keys(this.shown.called ?? {});
      return Object.fromEntries(ids.filter((id) => id in this.shown.series || this.shown.before?.[id]).map((id) => [id, this.shown.called?.[id] ?? this.labels[id] ?? id]));
    },
    option() {
      const names = this.shown.series ? this.names() : {};
      const font = getComputedStyle(this.$el).fontFamily;
      const made = options({ spec: this.spec, data: this.shown, say: this.say(), names, width: this.$refs.place.offsetWidth });
      return { ...made, textStyle: { fontFamily: font, fontSize: 11.5 } };
    },
    draw() {
      this.version += 1;
      if (this.state !== "ok" || !this.chart || !this.shown || !this.$refs.place?.offsetWidth) return;
      const quiet = this.still || this.moved;
      this.chart.setOption({ animation: !quiet, animationDuration: 250, animationDurationUpdate: 250, ...this.option() }, { replaceMerge: this.fresh ? ["series"] : [] });
      this.fresh = false;
    },
    turn() {
      this.asTable = !this.asTable;
      this.$nextTick(() => this.draw());
    },
    said(value, unit) {
      return amount(value, unit, this.say());
    },
    follow(link) {
      if (link) emitEvent("sub_pages_navigate", link);
    },
    picture() {
      const wide = this.$refs.place.offsetWidth || 800;
      savePicture(`${this.spec.file}.png`, echarts, this.option(), {
        width: wide, height: this.$refs.place.offsetHeight || 300, title: this.labels.title,
        ink: colour("--ink"), paper: colour("--card"), font: getComputedStyle(this.$el).fontFamily,
      });
    },
    file() {
      const { head, rows, units } = rowsOf(this.spec, this.shown, this.say(), this.names(), true);
      save(`${this.spec.file}.csv`, "text/csv", figuresCsv(head, units, rows, this));
    },
  },
};
