// Every job there was, as a table that may be scrolled to any row: AG Grid asks for the rows it shows, 100 at a time.
import * as AgGrid from "nicegui-aggrid";

AgGrid.ModuleRegistry.registerModules([AgGrid.AllCommunityModule]);

const BLOCK = 100;
const DOTS = { completed: "ok", dead: "bad", running: "run", cancelling: "run", waiting: "held", delayed: "held", blocked: "held" };
const LEVELS = { 1: "low", 5: "normal", 10: "high", 15: "realtime" };
const CHOICE = { mode: "multiRow", checkboxes: true, headerCheckbox: false, enableClickSelection: false };
// which columns appear where there is room for them beside a job of this width; those not named are always there
const FIRST = ["model", "ran", "priority", "user", "waited", "tokens", "worker", "ended"];
const JOB = 300, NARROW = 500, ROW = 40, TALL_ROW = 58;
const LOOK = AgGrid.themeQuartz.withParams({
  backgroundColor: "var(--card)", foregroundColor: "var(--ink)", textColor: "var(--ink)", borderColor: "var(--line)",
  accentColor: "var(--accent)", chromeBackgroundColor: "var(--card)", headerBackgroundColor: "var(--card)",
  headerTextColor: "var(--ink3)", headerFontSize: "11.5px", headerFontWeight: 500, headerHeight: 34,
  fontFamily: "var(--font)", fontSize: "13px", rowHoverColor: "color-mix(in srgb, var(--hover) 60%, transparent)",
  selectedRowBackgroundColor: "var(--accent-soft)", rowBorder: { color: "var(--line)" }, wrapperBorder: false,
  wrapperBorderRadius: 0, cellHorizontalPadding: 10, iconSize: 14, focusShadow: "none",
  rangeSelectionBorderColor: "var(--accent)", headerColumnResizeHandleColor: "var(--job-handle)",
  checkboxBorderRadius: 4, checkboxUncheckedBorderColor: "var(--ink3)", checkboxUncheckedBackgroundColor: "var(--card)",
  checkboxCheckedBackgroundColor: "var(--accent)", checkboxCheckedShapeColor: "var(--accent-ink)",
});

const make = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text ?? "" });

export default {
  props: { source: String, params: Object, sort: String, up: Boolean, choosing: Boolean, columns: Array, shown: String, labels: Object, lang: String },
  emits: ["open", "chosen", "sorted", "counted"],
  data: () => ({ failed: "", empty: false, ready: false, narrow: false }),
  template: `
  <div class="job-grid" :class="{ 'is-empty': empty || failed, 'is-ready': ready, 'is-narrow': narrow }">
    <div ref="grid" class="job-grid-table"></div>
    <div v-if="!ready && !failed" class="job-grid-wait" aria-hidden="true"><i v-for="n in 9" class="skeleton" style="height:26px"></i></div>
    <div v-if="failed" class="job-grid-said" role="alert"><p>{{ failed }}</p><button type="button" class="btn" @click="renew()">{{ labels.again }}</button></div>
    <div v-else-if="empty" class="job-grid-said"><slot></slot></div>
  </div>`,
  mounted() {
    this.narrow = this.$refs.grid.clientWidth < NARROW;
    this.api = AgGrid.createGrid(this.$refs.grid, this.options());
    this.seen = new ResizeObserver(() => this.fit());
    this.seen.observe(this.$refs.grid);
    this.fit();
    this.renew();
  },
  beforeUnmount() {
    this.stop?.abort();
    this.seen?.disconnect();
    this.api?.destroy();
  },
  computed: {
    asked() {
      return JSON.stringify([this.params, this.sort, this.up]);
    },
  },
  watch: {
    asked() {
      // what is looked for by its text comes as it is found
      const by = this.params.q ? "queued" : this.sort;
      this.api.applyColumnState({ state: [{ colId: by, sort: this.up ? "asc" : "desc" }], defaultState: { sort: null } });
      this.renew();
    },
    shown(now, before) {
      for (const id of [now, before]) this.api.redrawRows({ rowNodes: [this.api.getRowNode(id)].filter(Boolean) });
    },
    labels() {
      this.api.setGridOption("columnDefs", this.defs());
      this.api.refreshCells({ force: true });
    },
  },
  methods: {
    options() {
      return {
        theme: LOOK, rowModelType: "infinite", cacheBlockSize: BLOCK, maxBlocksInCache: 12, cacheOverflowSize: 1,
        maxConcurrentDatasourceRequests: 2, blockLoadDebounceMillis: 60, infiniteInitialRowCount: 1, rowHeight: this.narrow ? TALL_ROW : ROW,
        columnDefs: this.defs(), defaultColDef: { sortable: true, resizable: true, suppressMovable: true, suppressHeaderMenuButton: true, sortingOrder: ["desc", "asc"] },
        getRowId: ({ data }) => data.id ?? "gone-" + Math.random(), suppressCellFocus: false, suppressDragLeaveHidesColumns: true,
        rowSelection: this.choosing ? CHOICE : undefined, selectionColumnDef: { width: 40, maxWidth: 40, sortable: false, resizable: false, suppressHeaderMenuButton: true },
        rowClassRules: { "is-shown": ({ data }) => data && data.id === this.shown, "is-gone": ({ data }) => data?.gone },
        onCellClicked: ({ data, colDef, event }) => data?.id && !event.target.closest("a") && this.$emit("open", data.id),
        onCellKeyDown: ({ data, event }) => event.key === "Enter" && data?.id && this.$emit("open", data.id),
        onSelectionChanged: () => this.$emit("chosen", this.api.getSelectedRows().filter((row) => row?.id).map((row) => [row.id, row.state])),
        onSortChanged: ({ source }) => {
          if (source === "api") return;
          const one = this.api.getColumnState().find((column) => column.sort);
          this.$emit("sorted", [one?.colId ?? "queued", one?.sort === "asc"]);
        },
        getLocaleText: ({ key, defaultValue }) => this.labels["ag_" + key] ?? defaultValue, suppressNoRowsOverlay: true,
        ensureDomOrder: true, suppressMultiSort: true, animateRows: false, rowBuffer: 4,
      };
    },
    defs() {
      const L = this.labels;
      const all = {
        state: { headerName: L.state, width: 108, cellRenderer: (p) => this.state(p.data) },
        queued: { headerName: L.queued, width: this.narrow ? 92 : 124, cellClass: "num", headerClass: "num", valueFormatter: (p) => this.when(p.value) },
        job: { headerName: L.job, flex: 1, minWidth: 150, sortable: false, cellClass: "job-grid-job", cellRenderer: (p) => this.name(p.data) },
        kind: { headerName: L.kind, width: 110, valueFormatter: (p) => L[p.value] ?? "" },
        model: { headerName: L.model, width: 150 },
        user: { headerName: L.user, width: 104, valueFormatter: (p) => p.value || (p.data ? "—" : "") },
        priority: { headerName: L.priority, width: 96, cellRenderer: (p) => this.level(p.data) },
        waited: { headerName: L.waited, width: 100, cellClass: "num", headerClass: "num", valueFormatter: (p) => this.length(p.value) },
        ran: { headerName: L.ran, width: 100, cellClass: "num", headerClass: "num", valueFormatter: (p) => this.length(p.value) },
        tokens: { headerName: L.tokens, width: 92, cellClass: "num", headerClass: "num", valueFormatter: (p) => (p.value ? this.number(p.value) : p.data ? "—" : "") },
        worker: { headerName: L.worker, width: 124, valueFormatter: (p) => p.value || (p.data ? "—" : "") },
        ended: { headerName: L.ended, width: 124, cellClass: "num", headerClass: "num", valueFormatter: (p) => this.when(p.value) },
        code: { headerName: L.code, width: 150 },
        failures: { headerName: L.failures, width: 90, cellClass: "num", headerClass: "num" },
      };
      const order = this.narrow ? ["job", ...this.columns.filter((name) => name !== "job")] : this.columns;
      return order.map((name) => ({ colId: name, field: name === "job" ? "title" : name, ...all[name],
        initialSort: name === this.sort ? (this.up ? "asc" : "desc") : undefined }));
    },
    fit() {
      const width = this.$refs.grid?.clientWidth;
      if (!width || width === this.width) return;
      this.width = width;
      if (this.narrow !== width < NARROW) {
        this.narrow = width < NARROW;
        this.api.setGridOption("rowHeight", this.narrow ? TALL_ROW : ROW);
        this.api.setGridOption("columnDefs", this.defs());
        this.renew();
      }
      const seen = this.room(width);
      this.api.setColumnsVisible(this.columns.filter((name) => seen.has(name)), true);
      this.api.setColumnsVisible(this.columns.filter((name) => !seen.has(name)), false);
    },
    // the columns that there is room for; on a phone a job says the rest in a second line
    room(width) {
      if (this.narrow) return new Set(["job", "queued"]);
      const wide = Object.fromEntries(this.defs().map((each) => [each.colId, each.width ?? JOB]));
      const seen = new Set(this.columns.filter((name) => !FIRST.includes(name)));
      let left = width - (this.choosing ? 40 : 0) - [...seen].reduce((sum, name) => sum + wide[name], 0);
      for (const name of FIRST.filter((each) => this.columns.includes(each))) {
        if (wide[name] > left) break;
        left -= wide[name];
        seen.add(name);
      }
      return seen;
    },
    // a new list, from the top: what has come since is in it
    renew() {
      this.stop?.abort();
      const mine = (this.stop = new AbortController());
      const list = { now: Date.now() / 1000, at: 0, total: 0, complete: false, looked: 0, look: 0, cut: false };
      this.list = list;
      this.failed = "";
      this.empty = false;
      this.api.deselectAll();
      this.api.setGridOption("datasource", { getRows: (block) => this.fill(mine, block) });
    },
    // AG Grid asks for two blocks at a time and must hear about each, also about one of a list that is gone: it never
    // asks for more than it believes to be on their way
    async fill(mine, { startRow, endRow, successCallback, failCallback }) {
      try {
        const got = await this.rows(mine, startRow, endRow - startRow);
        const short = got.rows.length < endRow - startRow;
        this.ready = true;
        successCallback(got.rows, got.complete || short ? Math.max(startRow + got.rows.length, got.complete ? got.total : 0) : undefined);
        this.count(mine);
      } catch (problem) {
        if (!this.api.isDestroyed()) failCallback();
        if (mine.signal.aborted) return;
        this.failed = this.labels[problem.message] ?? this.labels.unreachable;
      }
    },
    // what comes too early, while the queue is still putting the list together, is asked for again; a search for a text may
    // stop before its end, and says so
    async rows(mine, offset, limit) {
      for (;;) {
        const got = await this.ask(mine, { offset, limit });
        mine.signal.throwIfAborted();
        if (got.complete || got.rows.length === limit || this.params.q) return got;
      }
    },
    async ask(mine, more) {
      const list = this.list;
      const asked = new URLSearchParams({ ...this.params, sort: this.sort, order: this.up ? "asc" : "desc", now: list.now, at: list.at, ...(list.look ? { look: list.look } : {}), ...more });
      const reply = await fetch(this.source + "?" + asked, { signal: mine.signal });
      const got = await reply.json();
      if (!reply.ok) throw new Error(got.error);
      Object.assign(list, { at: got.at, total: Math.max(list.total, got.total), complete: got.complete || list.complete, looked: Math.max(list.looked, got.looked), cut: got.cut });
      return got;
    },
    // how many there are is known later than the first rows; a search for a text stops by itself and says how far it came
    async count(mine) {
      if (this.counting === mine) return;
      if (this.list.complete) return this.tell();
      this.counting = mine;
      this.tell();
      try {
        let before = -1;
        while (!this.list.complete && !mine.signal.aborted) {
          const got = await this.ask(mine, { offset: 0, limit: 1, whole: 1 });
          if (mine.signal.aborted) return;
          this.tell();
          if (got.complete || (this.params.q && got.looked === before)) break;
          before = got.looked;
        }
        if (mine.signal.aborted) return;
        this.api.setRowCount(this.list.total, true);
        this.api.refreshInfiniteCache();
      } catch {
        // the rows that are there stay; the next ones say what is wrong
      } finally {
        if (this.counting === mine) this.counting = undefined;
        if (!mine.signal.aborted) this.tell();
      }
    },
    tell() {
      const going = Boolean(this.counting) && !this.list.complete;
      this.empty = this.list.total === 0 && !going;
      this.$emit("counted", { total: this.list.total, complete: this.list.complete, looked: this.list.looked, going, cut: this.list.cut });
    },
    // the search for a text goes on: so many jobs more
    more(count) {
      this.list.look = this.list.looked + count;
      this.empty = false;
      this.count(this.stop);
    },
    choose_none() {
      this.api.deselectAll();
    },
    state(row) {
      if (!row || row.gone) return "";
      const cell = make("span", "job-grid-state " + row.state);
      cell.append(make("i", "dot " + (DOTS[row.state] ?? "")), make("span", "", this.labels[row.state]));
      cell.title = row.detail ? this.labels[row.state] + this.colon() + row.detail : this.labels[row.state];
      return cell;
    },
    name(row) {
      if (!row) return make("i", "skeleton");
      if (row.gone) return make("span", "faint", this.labels.gone);
      const cell = make("span", "job-grid-name");
      const link = make("a", "job-title", row.title || row.excerpt || this.labels[row.kind] || "—");
      link.href = "/jobs/" + encodeURIComponent(row.id);
      link.tabIndex = -1;
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        event.stopPropagation(); // or the page is left for the link
        this.$emit("open", row.id);
      });
      cell.append(link);
      if (this.narrow) {
        const more = make("span", "job-grid-more");
        more.append(this.state(row), make("span", "faint", [row.state === "dead" ? row.code : "", row.model, row.user].filter(Boolean).join(" · ")));
        cell.append(more);
        return cell;
      }
      const note = row.state === "dead" ? row.code : row.title ? row.excerpt : row.kind !== "chat" ? this.labels[row.kind] : "";
      if (note) cell.append(make("span", row.state === "dead" ? "job-grid-code" : "faint", note));
      return cell;
    },
    level(row) {
      if (!row || row.gone) return "";
      const p = row.priority;
      const chip = make("span", "chip soft " + (p < 4 ? "p-low" : p < 8 ? "p-normal" : p < 13 ? "p-high" : "p-real"), this.labels[LEVELS[p]] ?? String(p));
      chip.title = String(p);
      return chip;
    },
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
    number(value, digits = 0) {
      return this.form("number" + digits, Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
    },
    when(at) {
      if (!at) return at === 0 ? "—" : "";
      const then = new Date(at * 1000);
      const today = then.toDateString() === new Date().toDateString();
      const day = then.getFullYear() === new Date().getFullYear() ? { month: "numeric", day: "numeric" } : { year: "2-digit", month: "numeric", day: "numeric" };
      const clock = { hour: "2-digit", minute: "2-digit", hour12: false, ...(today ? { second: "2-digit" } : {}) };
      return this.form("when" + Object.keys(day).length + day.year + today, Intl.DateTimeFormat, today ? clock : { ...day, ...clock }).format(then);
    },
    // to make one takes longer than all else about a cell
    form(name, Kind, options) {
      this.forms ??= {};
      return (this.forms[this.lang + name] ??= new Kind(this.lang, options));
    },
    length(value) {
      if (value === undefined || value === null) return "";
      if (value < 0) return "—";
      if (value < 10) return this.labels.s.replace("{n}", this.number(value, 1));
      const whole = Math.round(value);
      if (whole < 60) return this.labels.s.replace("{n}", whole);
      if (whole < 3600) return this.labels.m.replace("{m}", Math.floor(whole / 60)).replace("{s}", whole % 60);
      return this.labels.h.replace("{h}", this.number(Math.floor(whole / 3600))).replace("{m}", Math.floor(whole / 60) % 60);
    },
  },
};
