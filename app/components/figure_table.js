// A table of figures: sorted by a click on a column, saved as CSV.
import { amount, figuresCsv, save, watchSeen } from "corral-figures";

export default {
  props: { spec: Object, labels: Object, lang: String },
  emits: ["ready", "seen"],
  data() {
    return { content: null, by: null, down: true };
  },
  template: `
  <section class="chart-card figure-table" :aria-label="labels.title" :aria-busy="!content">
    <header class="chart-head"><div class="grow"><h2>{{ labels.title }}</h2><p v-if="labels.hint" class="chart-hint">{{ labels.hint }}</p></div>
      <button type="button" class="btn square ghost chart-more tip-left" :aria-label="labels.csv + ' · ' + labels.title" :data-tip="labels.csv" :disabled="!rows.length" @click="file"><i class="icon icon-save" aria-hidden="true"></i></button></header>
    <div v-if="!content" class="figure-wait" aria-hidden="true"><i v-for="n in 4" class="skeleton" style="height:22px"></i></div>
    <p v-else-if="content.problem" class="chart-empty" role="status">{{ content.problem }}</p>
    <p v-else-if="!rows.length" class="chart-empty">{{ labels.empty }}</p>
    <div v-else class="scroll" tabindex="0" role="region" :aria-label="labels.title"><table class="table">
      <thead><tr><th v-for="(unit, n) in spec.units" scope="col" :class="{ num: number(unit) }" :aria-sort="by === n ? (down ? 'descending' : 'ascending') : 'none'">
        <button type="button" @click="sort(n)">{{ labels['column_' + n] }}<i class="icon icon-down" :class="{ up: by === n && !down, on: by === n }" aria-hidden="true"></i></button></th></tr></thead>
      <tbody><tr v-for="row in rows" :key="row.at"><td v-for="(value, n) in row.cells" :class="{ num: number(spec.units[n]), mono: spec.units[n] === 'mono', bar: spec.bar === n && n }" :style="spec.bar === n && n ? { '--part': part(value) } : null">
        <a v-if="!n && row.link" :href="row.link">{{ said(value, n) }}</a><template v-else>{{ said(value, n) }}</template></td></tr></tbody>
      <tfoot v-if="content.total"><tr><td v-for="(value, n) in content.total" :class="{ num: number(spec.units[n]) }">{{ n ? said(value, n) : labels.total }}</td></tr></tfoot>
    </table></div>
  </section>`,
  computed: {
    rows() {
      const found = (this.content?.rows ?? []).map((cells, at) => ({ cells, at, link: this.content.links?.[at] }));
      if (this.by == null) return found;
      const order = new Intl.Collator(this.lang, { numeric: true });
      const compare = (a, b) => (typeof a === "string" ? order.compare(a, b) : a - b);
      return found.sort(({ cells: a }, { cells: b }) => {
        const [x, y] = [a[this.by], b[this.by]];
        if (x == null || y == null) return (x == null) - (y == null); // what is not known stays below
        return compare(x, y) * (this.down ? -1 : 1);
      });
    },
  },
  mounted() {
    this.unwatch = watchSeen(this.$el, (seen) => this.$emit("seen", seen));
    this.$emit("ready");
  },
  unmounted() {
    this.unwatch();
  },
  methods: {
    show(content) {
      this.content = content;
    },
    number(unit) {
      return unit !== "text" && unit !== "mono";
    },
    said(value, n) {
      const unit = this.spec.units[n];
      return this.number(unit) ? amount(value, unit, { lang: this.lang, labels: this.labels }) : (value ?? "–");
    },
    part(value) {
      const top = Math.max(...this.content.rows.map((row) => row[this.spec.bar] ?? 0)) || 1;
      return Math.max(0, (value ?? 0) / top);
    },
    sort(n) {
      if (this.by === n) this.down = !this.down;
      else [this.by, this.down] = [n, this.number(this.spec.units[n])];
    },
    file() {
      const head = this.spec.units.map((_, n) => this.labels["column_" + n]);
      save(`${this.spec.file}.csv`, "text/csv", figuresCsv(head, this.spec.units, this.rows.map(({ cells }) => cells), this));
    },
  },
};
