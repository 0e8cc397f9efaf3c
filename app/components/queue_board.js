// The live queue. Rows of the part that is on the screen come as patches; the rest of a long queue stays at the server.
// Every row knows its place, so a row that moves slides there; times tick here and ask nothing of the server.
import { Confirm, LANES, LEVELS, Words, laneOf, levelOf } from "corral-queue";

const HEAD_PX = 38;
const OVERSCAN = 12;
const SPARE = 40; // rows asked for above and below what is seen
const FEW = 12; // running jobs that are shown at once

export default {
  components: { "queue-confirm": Confirm },
  props: { state: Object, labels: Object, lang: String },
  emits: ["look", "filter", "stop", "priority", "pause", "resume", "gap"],
  data() {
    return { ...this.state, clock: 0, pending: {}, picked: {}, everyone: false, folded: {}, exact: 5, menu: "", question: null, active: "",
      over: "", dragged: null, view: { top: 0, height: 900, width: 1200 }, all_running: false, text: this.state.filter.text, asked: {} };
  },
  template: `
  <div class="qb" :class="{ narrow }">
    <div class="qb-bar">
      <div class="seg qb-states" role="radiogroup" :aria-label="labels.state">
        <button v-for="each in states" type="button" role="radio" :aria-checked="filter.state === each.name" @click="choose({ state: each.name })">{{ labels["state_" + (each.name || "all")] }}<b v-if="each.count !== undefined">{{ words.number(each.count) }}</b></button>
      </div>
      <label class="field qb-search"><i class="icon icon-search small" aria-hidden="true"></i><span class="sr">{{ labels.search }}</span>
        <input type="search" v-model="text" :placeholder="labels.search" maxlength="200" @input="typed"></label>
      <span class="select"><select class="field" :aria-label="labels.model" :value="filter.model" @change="choose({ model: $event.target.value })">
        <option value="">{{ labels.all_models }}</option><option v-for="[name, count] in picks(models, filter.model)" :value="name">{{ name }}{{ count ? " (" + words.number(count) + ")" : "" }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
      <span class="select"><select class="field" :aria-label="labels.user" :value="filter.user" @change="choose({ user: $event.target.value })">
        <option value="">{{ labels.all_users }}</option><option v-for="[name, count] in picks(users, filter.user)" :value="name">{{ name }}{{ count ? " (" + words.number(count) + ")" : "" }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
      <button v-if="filtered" type="button" class="btn ghost" @click="clear">{{ labels.clear }}</button>
      <span class="grow"></span>
      <button type="button" class="btn" aria-haspopup="menu"><i class="icon icon-pause small" aria-hidden="true"></i>{{ labels.pause }}<i class="icon icon-down small" aria-hidden="true"></i>
        <q-menu anchor="bottom right" self="top right" :offset="[0, 4]" max-height="70vh"><div role="menu" class="qb-menu">
          <button type="button" role="menuitem" class="menu-item" v-close-popup :disabled="isPaused('all', '')" @click="$emit('pause', 'all', '', false)"><i class="icon icon-pause small" aria-hidden="true"></i>{{ labels.pause_all }}</button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="$emit('pause', 'all', '', true)"><i class="icon icon-stop small" aria-hidden="true"></i>{{ labels.drain_all }}</button>
          <p class="qb-menu-head">{{ labels.priority }}</p>
          <button v-for="each in levelsDown" type="button" role="menuitemcheckbox" class="menu-item" v-close-popup :aria-checked="isPaused('lane', each.lane)" @click="toggle('lane', each.lane)"><i class="icon small" :class="isPaused('lane', each.lane) ? 'icon-play' : 'icon-pause'" aria-hidden="true"></i><span class="clip">{{ labels[each.name] }}</span></button>
          <template v-if="models.length"><p class="qb-menu-head">{{ labels.model }}</p>
          <button v-for="[name] in models.slice(0, 30)" type="button" role="menuitemcheckbox" class="menu-item" v-close-popup :aria-checked="isPaused('model', name)" @click="toggle('model', name)"><i class="icon small" :class="isPaused('model', name) ? 'icon-play' : 'icon-pause'" aria-hidden="true"></i><span class="clip">{{ name }}</span></button></template>
          <template v-if="staff.length"><p class="qb-menu-head">{{ labels.worker }}</p>
          <button v-for="name in staff.slice(0, 50)" type="button" role="menuitemcheckbox" class="menu-item" v-close-popup :aria-checked="isPaused('worker', name)" @click="toggle('worker', name)"><i class="icon small" :class="isPaused('worker', name) ? 'icon-play' : 'icon-pause'" aria-hidden="true"></i><span class="clip">{{ name }}</span></button></template>
          <template v-if="users.length"><p class="qb-menu-head">{{ labels.user }}</p>
          <button v-for="[name] in users.slice(0, 30)" type="button" role="menuitemcheckbox" class="menu-item" v-close-popup :aria-checked="isPaused('user', name)" @click="toggle('user', name)"><i class="icon small" :class="isPaused('user', name) ? 'icon-play' : 'icon-pause'" aria-hidden="true"></i><span class="clip">{{ name }}</span></button></template>
        </div></q-menu></button>
    </div>
    <ul v-if="pauses.length" class="qb-paused" :aria-label="labels.what_is_paused">
      <li v-for="each in pauses" :key="each.scope + each.name"><i class="icon icon-pause small" aria-hidden="true"></i><span>{{ pauseSaid(each) }}</span>
        <button v-if="!each.draining && running.length" type="button" class="btn ghost tiny" :data-tip="labels.drain_why" @click="$emit('pause', each.scope, each.name, true)">{{ labels.drain }}</button>
        <button type="button" class="btn tiny" @click="resume(each)"><i class="icon icon-play" aria-hidden="true"></i>{{ labels.resume }}</button></li>
    </ul>

    <div v-if="!ready" class="qb-wait" aria-hidden="true"><i v-for="n in 5" class="skeleton" style="height:44px"></i></div>
    <slot v-else-if="!filtered && !running.length && !lined && !ended.length"></slot>
    <p v-else-if="filtered && !running.length && !lined && !ended.length" class="qb-none quiet">{{ labels.none_match }}</p>

    <section v-if="running.length" class="qb-running" :aria-label="labels.running">
      <div class="section-head"><h2>{{ labels.running }}</h2><span class="faint">{{ words.fill("slots_busy", { busy: words.number(counts.running), slots: words.number(counts.slots) }) }}<template v-if="rate"> · {{ words.rate(rate) }}</template></span>
        <span class="qb-slots" aria-hidden="true"><i v-for="n in Math.min(counts.slots, 40)" :class="{ busy: n <= counts.running }"></i></span></div>
      <ul class="qb-runs" role="list"><li v-for="id in running.slice(0, all_running ? undefined : few)" :key="id" :data-job="id" class="qb-run" :class="{ fresh: clock - rows[id].started < 2 }">
        <i class="dot run live" aria-hidden="true"></i>
        <div class="qb-name"><a :href="'/jobs/' + id" class="qb-title clip">{{ words.title(rows[id]) }}</a><span class="faint clip">{{ words.note(rows[id], clock, id) }}</span></div>
        <span class="chip qb-chip" :class="levelOf(rows[id].priority)">{{ words.priority(rows[id].priority) }}</span>
        <div class="qb-two qb-model"><span class="clip" :title="rows[id].model">{{ rows[id].model }}</span><span class="faint clip" :title="rows[id].worker">{{ rows[id].worker }}</span></div>
        <span class="qb-user quiet clip" :title="rows[id].user">{{ rows[id].user || "—" }}</span>
        <div class="qb-two qb-progress num"><span>{{ rows[id].tokens ? words.fill("tokens", { n: words.number(rows[id].tokens) }) : labels[rows[id].resident ? "reading" : "loading"] }}</span><span class="faint">{{ words.rate(rows[id].rate) }}</span></div>
        <span class="qb-time num">{{ words.ticking(clock - rows[id].started) }}</span>
        <button type="button" class="btn ghost" :disabled="busy(id)" :aria-label="labels.stop + words.colon + words.title(rows[id])" @click="stop([id])">{{ busy(id) ? labels.stopping : labels.stop }}</button>
        <i class="qb-beam" :class="{ writes: rows[id].tokens }" aria-hidden="true"></i>
      </li></ul>
      <button v-if="running.length > few" type="button" class="btn ghost" @click="all_running = !all_running">{{ all_running ? labels.fewer : words.fill("more", { n: words.number(running.length - few) }) }}</button>
    </section>

    <section v-if="ready && showsLanes" class="qb-waiting" :aria-label="labels.waiting">
      <nav class="qb-lanes" :aria-label="labels.lanes">
        <div v-for="each in shownLanes" :key="each.lane" class="qb-lane" :class="[each.level, { over: over === each.lane, paused: each.paused }]" @dragover="hover($event, each.lane)" @dragleave="over = ''" @drop.prevent="drop(each)">
          <button type="button" class="qb-lane-go" :disabled="!each.total" @click="goTo(each.lane)"><b>{{ labels[each.name] }}</b><span class="num">{{ words.number(each.total) }}</span><span v-if="each.paused" class="qb-held">{{ labels[each.paused === "all" ? "paused" : "part_paused"] }}</span></button>
          <button type="button" class="btn ghost square tip-left" :aria-label="labels[each.paused ? 'resume' : 'pause'] + words.colon + labels[each.name]" :data-tip="labels[each.paused ? 'resume' : 'pause']" @click="$emit(each.paused ? 'resume' : 'pause', 'lane', each.lane, false)"><i class="icon small" :class="each.paused ? 'icon-play' : 'icon-pause'"></i></button>
        </div>
      </nav>
      <div class="qb-list" ref="list" role="list" :aria-label="labels.waiting" :style="{ height: height + 'px' }" @keydown="keyed">
        <div v-for="each in shownLanes.filter((lane) => lane.total)" :key="each.lane" role="listitem" class="qb-head" :class="each.level" :style="{ transform: 'translateY(' + places[each.lane].top + 'px)' }" @dragover="hover($event, each.lane)" @dragleave="over = ''" @drop.prevent="drop(each)">
          <button type="button" class="qb-fold" :aria-expanded="!folded[each.lane]" @click="fold(each.lane)"><i class="icon small" :class="folded[each.lane] ? 'icon-right' : 'icon-down'" aria-hidden="true"></i><b>{{ labels[each.name] }}</b><span class="faint num">{{ words.number(each.total) }}</span></button></div>
        <div v-for="item in visible" :key="item.key" role="listitem" class="qb-row" :class="{ picked: picked[item.id], fresh: item.row && clock - item.row.queued < 2, gone: busy(item.id), lifted: dragged?.includes(item.id) }" :style="{ transform: 'translateY(' + item.top + 'px)', height: rowPx + 'px' }"
          :data-job="item.id" :aria-posinset="item.index + 1" :aria-setsize="item.total" :tabindex="item.id && item.id === focusable ? 0 : -1" :draggable="!!item.row" @dragstart="lift($event, item)" @dragend="dragged = null; over = ''" @dragover="hover($event, item.lane)" @drop.prevent="drop(laneNamed(item.lane))" @focus="active = item.id">
          <template v-if="item.row">
          <label class="qb-check"><input type="checkbox" tabindex="-1" :checked="everyone || picked[item.id]" :aria-label="labels.pick + words.colon + words.title(item.row)" @click="pick($event, item)"></label>
          <span class="qb-place num faint" :class="item.row.state">{{ place(item) }}</span>
          <div class="qb-name"><a :href="'/jobs/' + item.id" class="qb-title clip" draggable="false">{{ words.title(item.row) }}</a><span class="faint clip">{{ words.note(item.row, clock, item.id) || item.row.model }}</span></div>
          <div class="qb-two qb-why"><span class="clip" :title="words.why(item.row, clock, limit)">{{ words.why(item.row, clock, limit) }}</span><span class="faint clip" :title="words.eta(item.row, clock)">{{ words.eta(item.row, clock) }}</span></div>
          <span class="qb-model quiet clip" :title="item.row.model">{{ item.row.model }}</span>
          <span class="qb-user quiet clip" :title="item.row.user">{{ item.row.user || "—" }}</span>
          <button type="button" class="chip qb-chip" :class="levelOf(item.row.priority)" tabindex="-1" aria-haspopup="menu" :aria-label="labels.change + words.colon + words.priority(item.row.priority)" @click="open(item, 'chip')">{{ words.priority(item.row.priority) }}<i class="icon icon-down" aria-hidden="true"></i>
            <q-menu v-if="menu === item.id + 'chip'" :model-value="true" no-parent-event anchor="bottom left" self="top left" :offset="[0, 4]" @hide="shut(item.id + 'chip')"><div role="menu" class="qb-menu">
              <button v-for="[value, key] in levels" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="item.row.priority === value" @click.stop="prioritise([item.id], value)"><span :class="levelOf(value)" aria-hidden="true">●</span><span class="grow">{{ labels[key] }}</span><span class="faint">{{ value }}</span></button>
              <form class="qb-exact" @click.stop @submit.prevent="valid && prioritise([item.id], exact)"><label><span class="quiet">{{ labels.exact }}</span><input class="field" type="number" min="0" max="15" step="1" required v-model.number="exact"></label>
                <button class="btn" type="submit" v-close-popup="valid ? 1 : 0">{{ labels.set }}</button></form></div></q-menu></button>
          <span class="qb-time num quiet" :title="labels.waited">{{ words.ticking(clock - item.row.queued) }}</span>
          <button type="button" class="btn ghost square" tabindex="-1" aria-haspopup="menu" :aria-label="labels.more_about + words.colon + words.title(item.row)" @click="open(item, 'more')"><i class="icon icon-more" aria-hidden="true"></i>
            <q-menu v-if="menu === item.id + 'more'" :model-value="true" no-parent-event anchor="bottom right" self="top right" :offset="[0, 4]" @hide="shut(item.id + 'more')"><div role="menu" class="qb-menu">
              <a role="menuitem" class="menu-item" :href="'/jobs/' + item.id" v-close-popup><i class="icon icon-info small" aria-hidden="true"></i>{{ labels.open_job }}</a>
              <a v-if="item.row.title" role="menuitem" class="menu-item" :href="'/chat/' + encodeURIComponent(item.row.conversation)" v-close-popup><i class="icon icon-chat small" aria-hidden="true"></i>{{ labels.open_chat }}</a>
              <a v-if="item.row.batch" role="menuitem" class="menu-item" :href="'/queue/batches?id=' + item.row.batch" v-close-popup><i class="icon icon-queue small" aria-hidden="true"></i>{{ labels.open_batch }}</a>
              <button type="button" role="menuitem" class="menu-item" v-close-popup @click.stop="copy(item.id)"><i class="icon icon-copy small" aria-hidden="true"></i>{{ labels.copy_id }}</button>
              <button type="button" role="menuitem" class="menu-item" v-close-popup @click.stop="move(item, -1)" :disabled="item.lane === 'real'"><i class="icon icon-up small" aria-hidden="true"></i>{{ labels.lane_up }}</button>
              <button type="button" role="menuitem" class="menu-item" v-close-popup @click.stop="move(item, 1)" :disabled="item.lane === 'low'"><i class="icon icon-down small" aria-hidden="true"></i>{{ labels.lane_down }}</button>
              <button type="button" role="menuitem" class="menu-item is-bad" v-close-popup @click.stop="stop([item.id])"><i class="icon icon-close small" aria-hidden="true"></i>{{ labels.cancel_job }}</button></div></q-menu></button>
          </template>
          <i v-else class="skeleton qb-blank" aria-hidden="true"></i>
        </div>
      </div>
      <p v-if="lined" class="qb-keys faint">{{ labels.keys }}</p>
    </section>

    <section v-if="ended.length" class="qb-ended" :aria-label="labels.finished">
      <div class="section-head"><h2>{{ labels.finished }}</h2><a class="qb-all" href="/history">{{ labels.all_of_them }}</a></div>
      <ul class="qb-runs" role="list"><li v-for="id in ended" :key="id" :data-job="id" class="qb-run over">
        <i class="dot" :class="dots[rows[id].state]" aria-hidden="true"></i>
        <div class="qb-name"><a :href="'/jobs/' + id" class="qb-title clip">{{ words.title(rows[id]) }}</a><span class="faint clip">{{ words.origin(rows[id]) }}</span></div>
        <span class="chip soft qb-chip" :class="rows[id].state" :title="rows[id].detail">{{ labels[rows[id].state] }}</span>
        <span class="qb-model quiet clip" :title="rows[id].model">{{ rows[id].model }}</span>
        <span class="qb-user quiet clip">{{ rows[id].user || "—" }}</span>
        <div class="qb-two qb-progress num"><span>{{ rows[id].tokens ? words.fill("tokens", { n: words.number(rows[id].tokens) }) : "—" }}</span><span class="faint">{{ words.rate(rows[id].rate) }}</span></div>
        <div class="qb-two qb-time num"><span>{{ rows[id].started ? words.duration(rows[id].ran) : "—" }}</span><span class="faint">{{ words.clock(rows[id].ended) }}</span></div>
      </li></ul>
    </section>

    <div v-if="chosen" class="qb-selected" role="region" :aria-label="labels.selection">
      <b>{{ words.fill("n_picked", { n: words.number(everyone ? lined : chosen) }) }}</b>
      <button v-if="!everyone && chosen < lined" type="button" class="btn ghost" @click="everyone = true">{{ words.fill("pick_all", { n: words.number(lined) }) }}</button>
      <span class="grow"></span>
      <button type="button" class="btn" aria-haspopup="menu"><i class="icon icon-bolt small" aria-hidden="true"></i>{{ labels.priority }}<i class="icon icon-down small" aria-hidden="true"></i>
        <q-menu anchor="top right" self="bottom right" :offset="[0, 4]"><div role="menu" class="qb-menu">
          <button v-for="[value, key] in levels" type="button" role="menuitem" class="menu-item" v-close-popup @click="prioritise(everyone ? null : ids, value)"><span :class="levelOf(value)" aria-hidden="true">●</span><span class="grow">{{ labels[key] }}</span><span class="faint">{{ value }}</span></button></div></q-menu></button>
      <button type="button" class="btn danger" @click="stopPicked"><i class="icon icon-close small" aria-hidden="true"></i>{{ labels.cancel_them }}</button>
      <button type="button" class="btn ghost square" :aria-label="labels.unpick" @click="unpick"><i class="icon icon-close" aria-hidden="true"></i></button>
    </div>
    <p class="sr" role="status" aria-live="polite">{{ words.fill("summary", { running: words.number(counts.running), waiting: words.number(counts.waiting) }) }}</p>
    <queue-confirm :question="question" :labels="labels" @over="question = null"></queue-confirm>
  </div>`,
  created() {
    this.levels = LEVELS;
    this.levelsDown = LANES;
    this.levelOf = levelOf;
    this.dots = { completed: "ok", dead: "bad", cancelled: "" };
    this.take(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 1000);
    document.addEventListener("visibilitychange", this.tick);
    this.scroller = this.$el.closest(".page-body");
    this.scroller?.addEventListener("scroll", this.measure, { passive: true });
    this.observer = new ResizeObserver(this.measure);
    this.observer.observe(this.$el);
    if (this.scroller) this.observer.observe(this.scroller);
    this.measure();
  },
  beforeUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.late);
    clearTimeout(this.later);
    document.removeEventListener("visibilitychange", this.tick);
    this.scroller?.removeEventListener("scroll", this.measure);
    this.observer.disconnect();
  },
  watch: {
    state(state) {
      this.take(state);
    },
  },
  computed: {
    words() {
      return new Words(this.labels, this.lang);
    },
    narrow() {
      return this.view.width < 620;
    },
    rowPx() {
      return this.narrow ? 64 : 52;
    },
    few() {
      return this.filter.state === "running" ? 1000 : FEW;
    },
    filtered() {
      const { state, model, user, text } = this.filter;
      return !!(state || model || user || text);
    },
    states() {
      const { running, waiting, delayed, blocked } = this.counts;
      return [{ name: "" }, { name: "running", count: running }, { name: "waiting", count: waiting }, { name: "delayed", count: delayed },
        { name: "blocked", count: blocked }, { name: "ended" }];
    },
    showsLanes() {
      return !["running", "ended"].includes(this.filter.state) && (this.lined || this.running.length || this.pauses.length);
    },
    shownLanes() {
      return this.lanes.map((each) => ({ ...each, ...LANES.find(({ lane }) => lane === each.lane) }));
    },
    lined() {
      return this.lanes.reduce((sum, { total }) => sum + total, 0);
    },
    // where each lane stands: its heading and its first row
    places() {
      const found = {};
      let top = 0;
      for (const { lane, total } of this.lanes) {
        const head = total ? HEAD_PX : 0;
        const rows = this.folded[lane] ? 0 : total;
        found[lane] = { top, rows: top + head, total: rows };
        top += head + rows * this.rowPx;
      }
      found.end = top;
      return found;
    },
    height() {
      return this.places.end;
    },
    // the rows on the screen and a few around them
    visible() {
      const items = [];
      for (const { lane } of this.lanes) {
        const { start, ids } = this.windows[lane];
        const [first, last] = this.seen(lane, OVERSCAN);
        for (let index = first; index < last; index++) {
          const id = ids[index - start];
          const row = id && this.rows[id];
          const top = this.places[lane].rows + index * this.rowPx;
          items.push({ id: row ? id : "", key: row ? id : lane + index, row, lane, index, top, total: this.places[lane].total });
        }
      }
      return items.sort((a, b) => (a.key < b.key ? -1 : 1)); // the page's order stays while rows change their places
    },
    focusable() {
      if (this.visible.some(({ id }) => id === this.active)) return this.active;
      return this.visible.reduce((best, item) => (item.id && (!best || item.top < best.top) ? item : best), null)?.id ?? "";
    },
    ids() {
      return Object.keys(this.picked);
    },
    chosen() {
      return this.everyone ? this.lined : this.ids.length;
    },
    valid() {
      return Number.isInteger(this.exact) && this.exact >= 0 && this.exact <= 15;
    },
  },
  methods: {
    take(state) {
      Object.assign(this, state);
      this.skew = state.now - Date.now() / 1000;
      this.tick();
    },
    // a patch says which version it makes; one that does not fit was missed, and the whole is asked for
    patch({ rows, version, now, ...rest }) {
      if (version <= this.version) return; // it was part of what came meanwhile
      if (version !== this.version + 1) return this.$emit("gap");
      const kept = { ...this.rows };
      for (const id in rows) kept[id] = rows[id];
      for (const id in rows) delete this.pending[id];
      if (rest.filter && JSON.stringify(rest.filter) !== JSON.stringify(this.filter)) {
        this.text = rest.filter.text; // a link led to another filter
        this.asked = {};
        this.unpick();
      }
      Object.assign(this, rest, { version });
      const shown = new Set([...this.running, ...this.ended, ...Object.values(this.windows).flatMap(({ ids }) => ids)]);
      for (const id in kept) if (!shown.has(id)) delete kept[id];
      this.rows = kept;
      this.skew = now - Date.now() / 1000;
      this.tick();
      if (rest.running || rest.pauses || rest.filter || rest.ready) this.$nextTick(this.measure); // the list may stand elsewhere
      else this.askSoon();
    },
    settle(ids) {
      for (const id of ids) delete this.pending[id];
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
    },
    // which part of the list is on the screen; rows that are not here are asked for
    measure() {
      const list = this.$refs.list;
      const height = this.scroller?.clientHeight ?? 900;
      const width = this.$el.clientWidth;
      const top = list && this.scroller ? this.scroller.getBoundingClientRect().top - list.getBoundingClientRect().top : 0;
      if (top !== this.view.top || height !== this.view.height || width !== this.view.width) this.view = { top, height, width };
      if (list) this.askSoon();
    },
    askSoon() {
      this.late ||= setTimeout(this.ask, 40);
    },
    seen(lane, around) {
      const { rows, total } = this.places[lane];
      const first = Math.floor((this.view.top - rows) / this.rowPx) - around;
      const last = Math.ceil((this.view.top + this.view.height - rows) / this.rowPx) + around;
      return [Math.min(total, Math.max(0, first)), Math.max(0, Math.min(total, last))];
    },
    ask() {
      this.late = 0;
      const wanted = {};
      let news = false;
      for (const { lane } of this.lanes) {
        const [first, last] = this.seen(lane, 4);
        const [from, until] = this.asked[lane] ?? [0, 40];
        const here = first >= last || (first >= from && last <= until);
        if (!here) news = true;
        wanted[lane] = first >= last ? [0, 0] : here ? [from, until] : [Math.max(0, first - SPARE), last + SPARE];
      }
      if (!news) return;
      this.asked = wanted;
      this.$emit("look", wanted);
    },
    picks(all, chosen) {
      return chosen && !all.some(([name]) => name === chosen) ? [[chosen, 0], ...all] : all;
    },
    choose(some) {
      this.filter = { ...this.filter, ...some };
      this.unpick();
      this.asked = {};
      const query = new URLSearchParams(Object.entries(this.filter).filter(([, value]) => value)).toString();
      history.replaceState(history.state, "", (window.path_prefix ?? "") + "/queue" + (query && "?" + query));
      this.$emit("filter", this.filter);
    },
    typed() {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.choose({ text: this.text.trim() }), 200);
    },
    clear() {
      this.text = "";
      this.choose({ state: "", model: "", user: "", text: "" });
    },
    stop(ids) {
      for (const id of ids) this.pending[id] = true;
      this.$emit("stop", ids);
    },
    stopPicked() {
      const n = this.words.number(this.chosen);
      this.question = { title: this.words.fill("cancel_n", { n }), text: this.labels.cancel_why, yes: this.labels.cancel_them, then: () => {
        if (this.everyone) this.$emit("stop", null);
        else this.stop(this.ids);
        this.unpick();
      } };
    },
    prioritise(ids, value) {
      if (!Number.isInteger(value) || value < 0 || value > 15) return;
      this.menu = "";
      if (ids) ids = ids.filter((id) => this.rows[id]?.priority !== value);
      if (ids && !ids.length) return;
      this.$emit("priority", ids, value);
    },
    move(item, by) {
      const at = LANES.findIndex(({ lane }) => lane === item.lane) + by;
      if (LANES[at]) this.prioritise([item.id], LANES[at].value);
    },
    busy(id) {
      return !!id && (this.pending[id] || this.rows[id]?.state === "cancelling");
    },
    place(item) {
      const { row } = item;
      if (row.state !== "waiting" || !["", "ahead"].includes(row.reason)) return "–";
      if (row.ahead !== null && row.ahead < this.limit) return this.words.number(row.ahead + 1);
      if (this.filtered) return this.words.number(this.limit) + "+";
      const above = this.lanes.slice(0, this.lanes.findIndex(({ lane }) => lane === item.lane)).reduce((sum, { total }) => sum + total, 0);
      return this.words.number(above + item.index + 1);
    },
    // choosing
    pick(event, item) {
      this.everyone = false;
      const picked = { ...this.picked };
      const on = event.target.checked;
      const [from, to] = event.shiftKey && this.last?.lane === item.lane ? [this.last.index, item.index].sort((a, b) => a - b) : [item.index, item.index];
      const { start, ids } = this.windows[item.lane];
      for (let index = from; index <= to; index++) {
        const id = ids[index - start];
        if (id && on) picked[id] = true;
        else if (id) delete picked[id];
      }
      this.last = item;
      this.picked = picked;
    },
    unpick() {
      this.picked = {};
      this.everyone = false;
    },
    // dragging
    lift(event, item) {
      this.dragged = this.picked[item.id] ? this.ids : [item.id];
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", item.id);
    },
    hover(event, lane) {
      if (!this.dragged) return;
      event.preventDefault();
      this.over = lane;
    },
    drop(lane) {
      const ids = this.dragged;
      this.dragged = null;
      this.over = "";
      if (ids) this.prioritise(ids.filter((id) => !this.rows[id] || laneOf(this.rows[id].priority).lane !== lane.lane), lane.value);
    },
    laneNamed(name) {
      return LANES.find(({ lane }) => lane === name);
    },
    // keys
    keyed(event) {
      const row = event.target.closest(".qb-row");
      if (!row || event.target.closest(".q-menu, input[type=number]")) return;
      const item = this.visible.find(({ id }) => id === row.dataset.job);
      if (!item) return;
      const itself = event.target === row;
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by && event.altKey) this.move(item, by);
      else if (by) this.walk(item, by);
      else if (event.key === "Enter" && itself) row.querySelector("a").click();
      else if (event.key === " " && itself) row.querySelector("input").click();
      else if (["Delete", "Backspace"].includes(event.key) && itself) this.stop([item.id]);
      else if ((event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) && itself) this.open(item, "more");
      else if (event.key === "Escape" && this.chosen) this.unpick();
      else return;
      event.preventDefault();
    },
    walk(item, by) {
      const next = this.visible.filter((each) => each.id && (by > 0 ? each.top > item.top : each.top < item.top)).sort((a, b) => by * (a.top - b.top))[0];
      if (!next) return;
      this.active = next.id;
      const at = next.top - this.view.top;
      if (at < 60) this.scroller.scrollTop += at - 60;
      if (at > this.view.height - 120) this.scroller.scrollTop += at - this.view.height + 120;
      this.$nextTick(() => this.$refs.list?.querySelector(`[data-job="${next.id}"]`)?.focus({ preventScroll: true }));
    },
    open(item, which) {
      this.exact = item.row.priority;
      this.menu = item.id + which;
    },
    shut(which) {
      if (this.menu === which) this.menu = "";
    },
    async copy(id) {
      if (await corral.copy(id)) this.$q?.notify?.({ message: this.labels.copied, position: "bottom", timeout: 2000, classes: "toast" });
    },
    fold(lane) {
      this.folded = { ...this.folded, [lane]: !this.folded[lane] };
      this.$nextTick(this.measure);
    },
    goTo(lane) {
      this.folded = { ...this.folded, [lane]: false };
      this.$nextTick(() => {
        if (!this.$refs.list) return;
        const at = this.$refs.list.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top + this.scroller.scrollTop;
        this.scroller.scrollTo({ top: at + this.places[lane].top - 52 });
      });
    },
    // pauses
    isPaused(scope, name) {
      return this.pauses.some((pause) => pause.scope === scope && pause.name === name);
    },
    toggle(scope, name) {
      if (this.isPaused(scope, name)) this.$emit("resume", scope, name);
      else this.$emit("pause", scope, name, false);
    },
    resume({ scope, name }) {
      this.$emit("resume", scope, name);
    },
    pauseSaid({ scope, name, draining }) {
      const what = scope === "all" ? this.labels.paused_all : this.words.fill("paused_" + scope, { name: scope === "lane" ? this.labels[this.laneNamed(name).name] : name });
      return draining ? what + " " + this.labels.draining : what;
    },
  },
};
