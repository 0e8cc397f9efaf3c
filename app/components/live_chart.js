// A chart that is shown new numbers without being rebuilt. Colours are the page's CSS variables, texts are its labels.
import { echarts } from "nicegui-echart";

const KINDS = {
  outcomes: { type: "bar", stack: "all", unit: "rate", colours: { completed: "--accent", failed: "--bad", cancelled: "--line2" } },
  times: { type: "line", unit: "time", colours: { response: "--run", wait: "--p-high" } },
};

export default {
  template: '<div class="live-chart" role="img" :aria-label="labels.title"></div>',
  props: { kind: String, labels: Object, lang: String },
  mounted() {
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.chart = echarts.init(this.$el, null, { renderer: "svg" });
    this.observer = new ResizeObserver(() => {
      if (!this.$el.offsetWidth) return; // hidden for now
      this.chart.resize();
      this.draw();
    });
    this.observer.observe(this.$el);
    this.repaint = () => this.draw();
    addEventListener("corral-theme", this.repaint);
    this.$emit("ready"); // whatever was shown before is shown now
  },
  unmounted() {
    this.observer.disconnect();
    removeEventListener("corral-theme", this.repaint);
    this.chart.dispose();
  },
  watch: {
    labels() {
      this.draw();
    },
  },
  methods: {
    // data: {at: [unix seconds], step_s, span_s, series: {name: [number or null]}}
    show(data) {
      this.moved = this.data?.at[0] !== data.at[0]; // bars would morph into their neighbours
      this.data = data;
      this.draw();
    },
    // points: {name: {index: number or null}}, the others stay
    change(points) {
      if (!this.data) return;
      for (const [name, values] of Object.entries(points)) {
        for (const [index, value] of Object.entries(values)) this.data.series[name][index] = value;
      }
      this.moved = false;
      this.draw();
    },
    draw() {
      if (!this.data || !this.chart) return;
      const { at, series } = this.data;
      const look = KINDS[this.kind];
      const names = Object.keys(look.colours);
      const ink = this.colour("--ink3");
      this.chart.setOption({
        animation: !this.still && !this.moved,
        animationDuration: 250,
        animationDurationUpdate: 250,
        textStyle: { fontFamily: getComputedStyle(this.$el).fontFamily, fontSize: 11.5 },
        grid: { left: 4, right: 12, top: 34, bottom: 2, containLabel: true },
        legend: {
          top: 0, left: 0, padding: 0, itemWidth: 10, itemHeight: 10, itemGap: 16, icon: "roundRect", selectedMode: true,
          data: names.map((name) => this.labels[name]),
          textStyle: { color: this.colour("--ink2"), fontSize: 12 }, inactiveColor: this.colour("--line2"),
        },
        tooltip: {
          trigger: "axis", confine: true, transitionDuration: 0, borderWidth: 1, padding: [8, 12],
          backgroundColor: this.colour("--card"), borderColor: this.colour("--line"),
          textStyle: { color: this.colour("--ink"), fontSize: 12.5 },
          axisPointer: { type: look.type === "bar" ? "shadow" : "line", shadowStyle: { color: ink, opacity: 0.1 },
            lineStyle: { color: this.colour("--line2"), type: "solid" } },
          formatter: (rows) => this.tip(rows),
        },
        xAxis: {
          type: "category", data: at, boundaryGap: true,
          axisTick: { show: false }, axisLine: { lineStyle: { color: this.colour("--line2") } },
          axisLabel: { color: ink, fontSize: 11.5, hideOverlap: true, interval: (_, value) => this.marked(+value),
            formatter: (value) => this.moment(+value, false) },
        },
        yAxis: {
          type: "value", min: 0, minInterval: look.unit === "rate" ? 1 : 0, splitNumber: 4,
          max: names.some((name) => series[name].some((value) => value > 0)) ? null : look.unit === "rate" ? 4 : 1,
          axisLabel: { color: ink, fontSize: 11.5, formatter: (value) => this.amount(value, true) },
          splitLine: { lineStyle: { color: this.colour("--line") } },
        },
        series: names.map((name) => this.line(name, look, series[name])),
      });
    },
    line(name, look, data) {
      const colour = this.colour(look.colours[name]);
      const common = { id: name, name: this.labels[name], type: look.type, data, itemStyle: { color: colour } };
      return look.type === "bar"
        ? { ...common, stack: look.stack, barCategoryGap: "28%", barMaxWidth: 28, emphasis: { focus: "none" } }
        : { ...common, symbol: "circle", symbolSize: 5, showAllSymbol: true, connectNulls: false, lineStyle: { width: 2, color: colour } };
    },
    tip(rows) {
      const at = this.data.at[rows[0].dataIndex];
      const lines = rows.map((row) => {
        const value = row.value == null ? "–" : this.amount(row.value);
        return `<div class="live-chart-row"><span>${row.marker}${row.seriesName}</span><b>${value}</b></div>`;
      });
      return `<div class="live-chart-head">${this.moment(at, true)}</div>${lines.join("")}`;
    },
    amount(value, short = false) {
      const number = (digits) => new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
      if (KINDS[this.kind].unit === "rate") return short ? number(1) : this.labels.rate.replace("{n}", number(2));
      if (value < 100) return this.labels.seconds.replace("{n}", number(value < 10 ? 1 : 0));
      const minutes = new Intl.NumberFormat(this.lang, { maximumFractionDigits: 1 }).format(value / 60);
      return this.labels.minutes.replace("{n}", minutes);
    },
    // which steps get a label: round times, as many as there is room for
    marked(at) {
      const room = this.$el.offsetWidth / 64;
      const every = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800].find(
        (s) => s >= this.data.step_s && this.data.span_s / s <= room,
      );
      return (at - new Date(at * 1000).getTimezoneOffset() * 60) % (every ?? 172800) === 0;
    },
    moment(at, full) {
      const day = { month: "short", day: "numeric" };
      const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
      const show = (style, when = at) => new Intl.DateTimeFormat(this.lang, style).format(new Date(when * 1000));
      if (!full) return show(this.data.span_s > 172800 ? day : clock);
      const from = show(this.data.span_s > 43200 ? { ...day, ...clock } : clock);
      return this.data.step_s > 60 ? `${from} – ${show(clock, at + this.data.step_s)}` : from;
    },
    colour(name) {
      return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    },
  },
};
