// An SQL box: the query is coloured behind a plain textarea; of the answer only the rows in view are in the page.
import { echarts } from "nicegui-echart";
import { amount, csv, options, PALETTE, save } from "corral-figures";

const ROW = 29;
const PAST = "corral-sql-history";
const DRAFT = "corral-sql-draft";
const WORDS = new Set(("select from where group by having order limit offset join left right full inner outer cross on using as and or not in is null case when then else end " +
  "with recursive union all distinct between like ilike desc asc nulls first last filter over partition rows range interval cast try_cast true false exists any values describe show summarize pivot unpivot qualify sample asof lateral explain").split(" "));
const TOKEN = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)|([A-Za-z_]\w*)(?=(\s*\()?)/gi;

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["run", "stop"],
  data() {
    return { sql: this.state.sql || kept(DRAFT, ""), past: kept(PAST, []), ticket: 0, busy: false, error: null, answered: null, top: 0, height: 400, open: "", find: "", charted: false, left: 0 };
  },
  template: `
  <div class="sql-box">
    <aside class="sql-tables" :aria-label="labels.tables"><h2>{{ labels.tables }}</h2><p class="faint">{{ labels.tables_hint }}</p>
      <input class="field" type="search" v-model="find" :placeholder="labels.find" :aria-label="labels.find">
      <ul><li v-for="table in fitting" :key="table.name"><button type="button" class="sql-table" :aria-expanded="isOpen(table)" @click="open = open === table.name ? '' : table.name">
          <i class="icon small icon-down" :class="{ shut: !isOpen(table) }" aria-hidden="true"></i><span class="mono">{{ table.name }}</span></button>
        <p class="faint">{{ table.about }}</p>
        <div v-if="isOpen(table)"><button type="button" class="btn ghost" @click="look(table)">{{ labels.insert }}</button>
          <dl><template v-for="column in table.columns" :key="column.name"><dt><button type="button" class="mono" @click="insert(column.name)">{{ column.name }}</button><span class="faint mono">{{ column.type.toLowerCase() }}</span></dt><dd class="faint">{{ column.about }}</dd></template></dl></div></li></ul>
    </aside>
    <div class="sql-main">
      <div class="sql-editor" :class="{ wrong: error }"><pre ref="paint" aria-hidden="true"><template v-for="piece in pieces"><span v-if="piece[0]" :class="piece[0]">{{ piece[1] }}</span><template v-else>{{ piece[1] }}</template></template>{{ '\\n' }}</pre>
        <textarea ref="area" v-model="sql" spellcheck="false" autocapitalize="off" autocomplete="off" :aria-label="labels.query" :aria-invalid="Boolean(error)" aria-describedby="sql-error"
          @scroll="follow" @input="typed" @keydown.ctrl.enter.prevent="run" @keydown.meta.enter.prevent="run"></textarea></div>
      <div class="sql-tools"><button v-if="!busy" type="button" class="btn primary" :disabled="!sql.trim()" @click="run"><i class="icon small icon-play" aria-hidden="true"></i>{{ labels.run }}</button>
        <button v-else type="button" class="btn danger" @click="halt"><i class="icon small icon-stop" aria-hidden="true"></i>{{ labels.stop_run }}</button><kbd class="faint">{{ labels.keys }}</kbd>
        <button type="button" class="btn" aria-haspopup="menu">{{ labels.examples }}<i class="icon small icon-down" aria-hidden="true"></i><q-menu anchor="bottom left" self="top left" :offset="[0, 4]"><div role="menu" class="sql-menu">
          <button v-for="example in state.examples" type="button" role="menuitem" class="menu-item" v-close-popup @click="take(example.sql)">{{ example.title }}</button></div></q-menu></button>
        <button type="button" class="btn" aria-haspopup="menu">{{ labels.history }}<i class="icon small icon-down" aria-hidden="true"></i><q-menu anchor="bottom left" self="top left" :offset="[0, 4]"><div role="menu" class="sql-menu">
          <p v-if="!past.length" class="quiet range-none">{{ labels.no_history }}</p>
          <button v-for="each in past" type="button" role="menuitem" class="menu-item mono" v-close-popup @click="take(each)"><span class="clip">{{ each.replace(/\\s+/g, ' ') }}</span></button>
          <button v-if="past.length" type="button" role="menuitem" class="menu-item quiet" v-close-popup @click="forget">{{ labels.forget }}</button></div></q-menu></button>
        <span class="grow"></span><span class="faint">{{ limits }}</span></div>
      <p v-if="error" id="sql-error" class="sql-error" role="alert"><button v-if="error.line" type="button" @click="jump">{{ labels.line.replace('{line}', error.line).replace('{column}', error.column) }}</button>{{ error.message }}</p>
      <section class="sql-result" :aria-label="labels.result" :aria-busy="busy">
        <div v-if="busy" class="sql-wait" role="status"><span class="sr">{{ labels.running }}</span><i v-for="n in 5" class="skeleton" style="height:20px" aria-hidden="true"></i></div>
        <div v-else-if="!answered" class="chart-empty">{{ error ? '' : labels.begin }}</div>
        <template v-else><div class="sql-head"><span role="status">{{ summary }}</span><span class="grow"></span>
            <span v-if="chartable" class="seg small"><button type="button" role="radio" :aria-checked="!charted" @click="charted = false">{{ labels.grid }}</button><button type="button" role="radio" :aria-checked="charted" @click="charted = true">{{ labels.chart }}</button></span>
            <button type="button" class="btn ghost" @click="file('csv')">{{ labels.save_csv }}</button><button type="button" class="btn ghost" @click="file('json')">{{ labels.json }}</button></div>
          <div v-show="charted" ref="chart" class="sql-chart" role="img" :aria-label="labels.chart"></div>
          <div v-show="!charted" class="sql-grid" ref="grid" tabindex="0" role="region" :aria-label="labels.result" @scroll="scrolled"><table class="table" :aria-rowcount="answered.rows.length + 1" :style="{ width: widths.reduce((sum, wide) => sum + wide, 0) + 'px' }">
            <colgroup><col v-for="wide in widths" :style="{ width: wide + 'px' }"></colgroup>
            <thead><tr aria-rowindex="1"><th v-for="(name, n) in answered.columns" scope="col" :class="{ num: numeric[n] }" :title="answered.types[n]">{{ name }}</th></tr></thead>
            <tbody><tr v-if="from" :style="{ height: from * 29 + 'px' }" aria-hidden="true"></tr>
              <tr v-for="(row, n) in shownRows" :key="from + n" :aria-rowindex="from + n + 2"><td v-for="(value, c) in row" :class="{ num: numeric[c], faint: value == null }" :title="cell(value)">{{ cell(value) }}</td></tr>
              <tr v-if="below" :style="{ height: below * 29 + 'px' }" aria-hidden="true"></tr></tbody></table></div></template>
      </section>
    </div>
  </div>`,
  computed: {
    fitting() {
      const wanted = this.find.trim().toLowerCase();
      return this.state.tables.filter((table) => !wanted || table.name.includes(wanted) || table.columns.some((column) => column.name.toLowerCase().includes(wanted)));
    },
    limits() {
      const { rows, seconds } = this.state.limits;
      return this.labels.limits.replace("{rows}", this.count(rows)).replace("{seconds}", this.count(seconds));
    },
    pieces() {
      return painted(this.sql, this.error);
    },
    summary() {
      const { rows, truncated, took_s } = this.answered;
      const time = amount(took_s, "time", { lang: this.lang, labels: this.labels });
      const said = rows.length === 1 ? this.labels.one_row : rows.length ? this.labels.rows : this.labels.no_rows;
      const cut = truncated ? ` · ${this.labels.cut.replace("{n}", this.count(rows.length))}` : "";
      return said.replace("{n}", this.count(rows.length)).replace("{time}", time) + cut;
    },
    numeric() {
      return this.answered.types.map((type) => /INT|DOUBLE|FLOAT|DECIMAL|REAL/i.test(type) && !/\[|STRUCT|MAP/i.test(type));
    },
    widths() {
      const some = this.answered.rows.slice(0, 200);
      return this.answered.columns.map((name, n) => {
        const long = some.reduce((most, row) => Math.max(most, wide(this.cell(row[n]))), wide(name) + 1);
        return Math.round(Math.min(420, Math.max(70, long * 7.4 + 26)));
      });
    },
    from() {
      return Math.max(0, Math.floor(this.top / ROW) - 12);
    },
    shownRows() {
      return this.answered.rows.slice(this.from, this.from + Math.ceil(this.height / ROW) + 26);
    },
    below() {
      return Math.max(0, this.answered.rows.length - this.from - this.shownRows.length);
    },
    chartable() {
      const { rows, columns } = this.answered;
      return rows.length > 1 && rows.length <= 2000 && columns.length > 1 && this.numeric.slice(1).some(Boolean);
    },
  },
  watch: {
    charted() {
      this.$nextTick(this.draw);
    },
  },
  mounted() {
    this.repaint = () => this.draw();
    addEventListener("corral-theme", this.repaint);
    this.observer = new ResizeObserver(() => {
      this.height = this.$refs.grid?.clientHeight ?? this.height;
      this.chart?.resize();
    });
    this.observer.observe(this.$el);
  },
  unmounted() {
    removeEventListener("corral-theme", this.repaint);
    this.observer.disconnect();
    this.chart?.dispose();
  },
  methods: {
    run() {
      const sql = this.sql.trim();
      if (!sql || this.busy) return;
      this.busy = true;
      this.error = null;
      this.charted = false;
      this.past = [sql, ...this.past.filter((each) => each !== sql)].slice(0, 30);
      keep(PAST, this.past);
      this.$emit("run", ++this.ticket, this.sql);
    },
    halt() {
      this.ticket += 1; // whatever still comes is not wanted
      this.busy = false;
      this.error = { message: this.labels.stopped };
      this.$emit("stop");
    },
    answer(ticket, result) {
      if (ticket !== this.ticket) return;
      this.busy = false;
      this.chart?.dispose();
      this.chart = null;
      this.answered = Object.freeze({ ...result, rows: Object.freeze(result.rows) });
      this.top = 0;
      this.$nextTick(() => {
        if (this.$refs.grid) this.$refs.grid.scrollTop = 0;
        this.height = this.$refs.grid?.clientHeight || 400;
      });
    },
    refuse(ticket, error) {
      if (ticket !== this.ticket) return;
      this.busy = false;
      this.answered = null;
      this.error = error;
    },
    typed() {
      this.error = null;
      keep(DRAFT, this.sql);
    },
    take(sql) {
      this.sql = sql;
      this.typed();
      this.$nextTick(() => this.$refs.area?.focus());
    },
    insert(name) {
      const area = this.$refs.area;
      area.focus();
      area.setRangeText(/^[a-z_]\w*$/.test(name) && name !== "user" ? name : `"${name}"`, area.selectionStart, area.selectionEnd, "end");
      this.sql = area.value;
      this.typed();
    },
    look(table) {
      this.take(`SELECT *\nFROM ${table.name}\nLIMIT 100`);
      this.run();
    },
    isOpen(table) {
      return this.open === table.name || this.find.trim() !== "";
    },
    jump() {
      const lines = this.sql.split("\n");
      const at = lines.slice(0, this.error.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, this.error.column - 1);
      this.$refs.area.focus();
      this.$refs.area.setSelectionRange(at, Math.min(at + 1, this.sql.length));
    },
    forget() {
      this.past = [];
      keep(PAST, []);
    },
    follow(event) {
      this.$refs.paint?.scrollTo(event.target.scrollLeft, event.target.scrollTop);
    },
    scrolled(event) {
      this.top = event.target.scrollTop;
      this.height = event.target.clientHeight;
    },
    cell(value) {
      if (value == null) return this.labels.nothing;
      if (typeof value === "number") return new Intl.NumberFormat(this.lang, { maximumFractionDigits: 6, useGrouping: false }).format(value);
      return typeof value === "object" ? JSON.stringify(value) : String(value);
    },
    count(n) {
      return new Intl.NumberFormat(this.lang).format(n);
    },
    file(kind) {
      const { columns, rows } = this.answered;
      if (kind === "csv") return save("corral-query.csv", "text/csv", csv(columns, rows));
      const objects = rows.map((row) => Object.fromEntries(columns.map((name, n) => [name, row[n]])));
      save("corral-query.json", "application/json", JSON.stringify(objects, null, 1));
    },
    // the first column is what it is about, every other number a series
    draw() {
      if (!this.charted || !this.answered || !this.$refs.chart?.offsetWidth) return;
      this.chart ??= echarts.init(this.$refs.chart, null, { renderer: "svg" });
      const { rows, columns } = this.answered;
      const series = columns.map((_, n) => n).filter((n) => n && this.numeric[n]).slice(0, PALETTE.length);
      const names = Object.fromEntries(series.map((n) => ["c" + n, columns[n]]));
      const spec = { form: "bins", unit: "factor", series: series.map((n, place) => ({ id: "c" + n, colour: PALETTE[place] })) };
      const data = { names: rows.map((row) => this.cell(row[0])), series: Object.fromEntries(series.map((n) => ["c" + n, rows.map((row) => row[n])])) };
      this.chart.setOption({ animation: false, ...options({ spec, data, names, say: { lang: this.lang, labels: this.labels }, width: this.$refs.chart.offsetWidth }) }, true);
    },
  },
};

// [class, text] pieces; the line of an error is one of its own
function painted(sql, error) {
  const pieces = [];
  let at = 0;
  for (const found of sql.matchAll(TOKEN)) {
    const [text, note, string, name, figure, word, call] = found;
    if (found.index > at) pieces.push(["", sql.slice(at, found.index)]);
    const kind = note ? "s-note" : string ? "s-text" : name ? "s-name" : figure ? "s-figure" : WORDS.has(word.toLowerCase()) ? "s-word" : call ? "s-call" : "";
    pieces.push([kind, text]);
    at = found.index + text.length;
  }
  pieces.push(["", sql.slice(at)]);
  if (!error?.line) return pieces;
  const lines = sql.split("\n");
  const begin = lines.slice(0, error.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, error.column - 1);
  const end = begin + Math.max(1, /^\w*/.exec(sql.slice(begin))[0].length);
  return marked(pieces, begin, end);
}

// the same pieces, cut so that what stands between begin and end is marked
function marked(pieces, begin, end) {
  let at = 0;
  return pieces.flatMap(([kind, text]) => {
    const [first, last] = [Math.min(Math.max(begin - at, 0), text.length), Math.min(Math.max(end - at, 0), text.length)];
    at += text.length;
    return [[kind, text.slice(0, first)], [kind + " s-wrong", text.slice(first, last)], [kind, text.slice(last)]].filter(([, piece]) => piece);
  });
}

// in columns of a Latin letter
function wide(text) {
  return [...String(text)].reduce((sum, sign) => sum + (sign > "\u2e7f" ? 1.8 : 1), 0);
}

function kept(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {} // it is not remembered then
}
