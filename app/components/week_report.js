// The summary of a week as a document: all of it is text, boxes and CSS variables, so paper gets the light colours.
export default {
  props: { labels: Object, lang: String },
  emits: ["ready"],
  data() {
    return { week: null, hours: [...Array(24).keys()] };
  },
  template: `
  <article class="week" :aria-busy="!week">
    <div v-if="!week" class="week-wait" aria-hidden="true"><i class="skeleton" style="height:30px;width:40%"></i><i class="skeleton" style="height:90px"></i><i class="skeleton" style="height:220px"></i></div>
    <p v-else-if="week.problem" class="note" role="status">{{ week.problem }}</p>
    <template v-else>
      <header class="week-head"><div><h2>{{ week.title }}</h2><p class="quiet">{{ week.period }}<span v-if="week.running" class="chip soft p-high">{{ week.running }}</span></p></div>
        <nav class="week-nav" :aria-label="labels.week"><a class="btn" :href="week.previous"><i class="icon small icon-left" aria-hidden="true"></i>{{ labels.previous }}</a><a v-if="week.next" class="btn" :href="week.next">{{ labels.next }}<i class="icon small icon-left turned" aria-hidden="true"></i></a></nav></header>
      <p v-if="week.empty" class="week-none">{{ labels.empty }}</p>
      <template v-else>
      <p class="week-lead"><template v-for="(line, n) in week.lead">{{ line }}{{ lang.startsWith('zh') || n === week.lead.length - 1 ? '' : ' ' }}</template></p>
      <section class="week-tiles"><div v-for="tile in week.tiles"><h3>{{ tile.title }}</h3><b>{{ tile.figure }}</b><span :class="['tile-change', tile.tone]">{{ tile.change || ' ' }}</span></div></section>
      <section class="week-two"><div><h3>{{ week.days.title }}</h3><dl class="week-bars"><template v-for="row in week.days.rows"><dt>{{ row.name }}</dt><dd><span class="week-bar"><i :style="{ width: row.good * 100 + '%' }"></i><i class="failed" :style="{ width: row.bad * 100 + '%' }"></i></span><b>{{ row.text }}</b><small class="faint">{{ row.note }}</small></dd></template></dl></div>
        <div><h3>{{ week.heat.title }}</h3><table class="week-heat"><thead><tr><th><span class="sr">{{ labels.hour }}</span></th><th v-for="hour in hours" scope="col">{{ hour % 6 ? '' : String(hour).padStart(2, '0') }}</th></tr></thead>
          <tbody><tr v-for="(day, d) in week.heat.days"><th scope="row">{{ day }}</th><td v-for="hour in hours" :style="shade(week.heat.cells[d * 24 + hour].part)" :title="day + ' ' + String(hour).padStart(2, '0') + ':00 · ' + week.heat.cells[d * 24 + hour].n"><span class="sr">{{ week.heat.cells[d * 24 + hour].n }}</span></td></tr></tbody></table></div></section>
      <section><h3>{{ week.waits.title }}</h3><p class="faint">{{ week.waits.hint }}</p><div class="week-stack" aria-hidden="true"><i v-for="(part, n) in week.waits.parts" :class="'w' + n" :style="{ flexGrow: part.part }"></i></div>
        <ul class="week-legend"><li v-for="(part, n) in week.waits.parts"><i :class="'w' + n" aria-hidden="true"></i>{{ part.name }} <b>{{ part.text }}</b> <span class="faint">{{ part.time }}</span></li></ul></section>
      <div class="week-tables"><section v-for="table in [week.users, week.models]"><h3>{{ table.title }}</h3><div class="week-scroll" tabindex="0" role="region" :aria-label="table.title"><table class="table"><thead><tr><th v-for="(head, n) in table.heads" :class="{ num: n }" scope="col">{{ head }}</th></tr></thead>
        <tbody><tr v-for="row in table.rows"><td v-for="(cell, n) in row.cells" :class="{ num: n }">{{ cell }}<span v-if="!n" class="week-part" :style="{ width: row.part * 100 + '%' }" aria-hidden="true"></span></td></tr></tbody></table></div><p v-if="table.more" class="faint">{{ table.more }}</p></section></div>
      <section class="week-two"><div><h3>{{ week.failures.title }}</h3><p v-if="!week.failures.rows.length" class="quiet">{{ week.failures.none }}</p><table v-else class="table"><thead><tr><th v-for="(head, n) in week.failures.heads" :class="{ num: n }" scope="col">{{ head }}</th></tr></thead>
        <tbody><tr v-for="row in week.failures.rows"><td v-for="(cell, n) in row.cells" :class="{ num: n }">{{ cell }}<small v-if="!n" class="week-sub mono">{{ row.sub }}</small></td></tr></tbody></table><p v-if="week.failures.more" class="faint">{{ week.failures.more }}</p></div>
        <div><h3>{{ week.eta.title }}</h3><p class="quiet">{{ week.eta.text }}</p><div v-if="week.eta.parts.length" class="week-stack" aria-hidden="true"><i v-for="part in week.eta.parts" :class="'eta-' + part.tone" :style="{ flexGrow: part.part }"></i></div>
        <ul class="week-legend"><li v-for="part in week.eta.parts"><i :class="'eta-' + part.tone" aria-hidden="true"></i>{{ part.name }} <b>{{ part.text }}</b></li></ul></div></section>
      <footer class="faint">{{ week.made }}</footer></template>
    </template>
  </article>`,
  mounted() {
    this.$emit("ready");
  },
  methods: {
    show(week) {
      this.week = week;
    },
    shade(part) {
      return { background: part ? `color-mix(in srgb, var(--accent) ${Math.round(8 + part * 92)}%, var(--heat0))` : "var(--heat0)" };
    },
  },
};
