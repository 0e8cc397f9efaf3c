// What failed for good: grouped by error, each job with its attempts; what is done to many is asked for first.
import { Confirm, Words, levelOf } from "corral-queue";

export default {
  components: { "queue-confirm": Confirm },
  props: { state: Object, labels: Object, lang: String },
  emits: ["filter", "rows", "older", "look", "replay", "purge"],
  data() {
    return { ...this.state, picked: {}, opened: "", past: {}, question: null, busy: false, text: this.state.filter.text };
  },
  template: `
  <div class="qx qd">
    <div v-if="!ready" class="skeletons" aria-hidden="true"><i v-for="n in 5" class="skeleton" style="height:48px"></i></div>
    <slot v-else-if="!all"></slot>
    <template v-else>
    <div class="qb-bar">
      <label class="field qb-search"><i class="icon icon-search small" aria-hidden="true"></i><span class="sr">{{ labels.search }}</span><input type="search" v-model="text" :placeholder="labels.search" maxlength="200" @input="typed"></label>
      <span class="select"><select class="field" :aria-label="labels.model" :value="filter.model" @change="choose({ model: $event.target.value })"><option value="">{{ labels.all_models }}</option><option v-for="name in models" :value="name">{{ name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
      <span class="select"><select class="field" :aria-label="labels.user" :value="filter.user" @change="choose({ user: $event.target.value })"><option value="">{{ labels.all_users }}</option><option v-for="name in users" :value="name">{{ name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
      <button v-if="filtered" type="button" class="btn ghost" @click="clear">{{ labels.clear }}</button>
      <span class="grow"></span>
      <button type="button" class="btn" :disabled="!jobs.length" @click="askReplay(null)"><i class="icon icon-retry small" aria-hidden="true"></i>{{ words.fill("replay_all", { n: words.number(total) }) }}</button>
      <button type="button" class="btn danger" :disabled="!jobs.length" @click="askPurge(null)"><i class="icon icon-trash small" aria-hidden="true"></i>{{ words.fill("purge_all", { n: words.number(total) }) }}</button>
    </div>
    <div class="qd-groups" role="radiogroup" :aria-label="labels.errors">
      <button type="button" role="radio" class="qd-group" :aria-checked="!filter.code" @click="choose({ code: '' })"><b class="num">{{ words.number(groups.reduce((sum, { count }) => sum + count, 0)) }}</b><span>{{ labels.all_errors }}</span></button>
      <button v-for="each in groups" :key="each.code" type="button" role="radio" class="qd-group" :aria-checked="filter.code === each.code" :title="each.detail" @click="choose({ code: filter.code === each.code ? '' : each.code })"><b class="num">{{ words.number(each.count) }}</b><span>{{ fail(each.code, each.model) }}</span><code class="faint">{{ each.code }}</code></button>
    </div>
    <p v-if="!jobs.length" class="qb-none quiet">{{ labels.none_match }}</p>
    <ul v-else role="list"><li v-for="each in jobs" :key="each.id" :data-job="each.id">
      <div class="qx-row qd-row" :class="{ picked: picked[each.id] }">
        <label class="qb-check"><input type="checkbox" :checked="picked[each.id]" :aria-label="labels.pick + words.colon + words.title(each)" @change="pick(each, $event)"></label>
        <button type="button" class="btn ghost square" :aria-expanded="opened === each.id" :aria-label="labels[opened === each.id ? 'hide' : 'show'] + words.colon + words.title(each)" @click="open(each)"><i class="icon small" :class="opened === each.id ? 'icon-down' : 'icon-right'" aria-hidden="true"></i></button>
        <div class="qb-two qd-name"><a :href="'/jobs/' + each.id" class="qb-title clip">{{ words.title(each) }}</a><span class="faint clip">{{ words.origin(each) || each.id }}</span></div>
        <div class="qb-two qd-why"><span class="clip is-bad" :title="each.detail">{{ fail(each.code, each.model) }}</span><span class="faint clip" :title="each.detail">{{ each.detail || each.code }}</span></div>
        <div class="qb-two qd-model"><span class="clip" :title="each.model">{{ each.model }}</span><span class="faint clip">{{ each.user || "—" }}</span></div>
        <div class="qb-two qd-when num"><span>{{ words.moment(each.ended) }}</span><span class="faint">{{ words.fill("attempts_n", { n: words.number(each.starts) }) }}</span></div>
        <span class="qx-do"><a v-if="each.again" class="btn ghost" :href="'/jobs/' + each.again"><i class="icon icon-check small" aria-hidden="true"></i>{{ labels.done_again }}</a><button v-else type="button" class="btn ghost" @click="$emit('replay', [each.id])"><i class="icon icon-retry small" aria-hidden="true"></i>{{ labels.replay }}</button>
        <button type="button" class="btn ghost square tip-left" :aria-label="labels.delete_it + words.colon + words.title(each)" :data-tip="labels.delete_it" @click="askPurge([each.id])"><i class="icon icon-trash" aria-hidden="true"></i></button></span>
      </div>
      <div v-if="opened === each.id" class="qd-open"><i v-if="!past[each.id]" class="skeleton" style="height:40px" aria-hidden="true"></i><p v-else-if="!past[each.id].length" class="quiet">{{ labels.no_attempts }}</p>
        <ol v-else class="qd-attempts"><li v-for="one in past[each.id]" :key="one.number"><p><b>{{ words.fill("attempt", { n: words.number(one.number) }) }}</b> <span class="faint num">{{ words.fill("lasted", { worker: one.worker, time: words.duration(one.ended_at - one.started_at) }) }}</span></p><p :class="one.code ? 'is-bad' : 'quiet'">{{ one.code ? fail(one.code, each.model) : (labels["ended_" + one.outcome] ?? "") }}</p>
          <details v-if="one.detail" open><summary>{{ labels.said }}</summary><pre tabindex="0">{{ one.detail }}</pre></details><details v-if="one.trace"><summary>{{ labels.trace }}</summary><pre tabindex="0">{{ one.trace }}</pre></details></li></ol></div>
    </li></ul>
    <button v-if="total > jobs.length" type="button" class="btn ghost" @click="$emit('rows')">{{ labels.more_rows }}</button>
    <p v-if="more" class="qd-more faint"><span>{{ words.fill("newest", { n: words.number(all) }) }}</span>
      <button v-if="more === 'yes'" type="button" class="btn" :disabled="busy" @click="older">{{ labels.older }}</button><a v-else class="btn" href="/history?state=dead">{{ labels.elsewhere }}</a></p>
    <div v-if="ids.length" class="qb-selected" role="region" :aria-label="labels.selection"><b>{{ words.fill("n_picked", { n: words.number(ids.length) }) }}</b><button v-if="ids.length < jobs.length" type="button" class="btn ghost" @click="pickAll">{{ labels.pick_shown }}</button><span class="grow"></span>
      <button type="button" class="btn" @click="askReplay(ids)"><i class="icon icon-retry small" aria-hidden="true"></i>{{ labels.replay_them }}</button><button type="button" class="btn danger" @click="askPurge(ids)"><i class="icon icon-trash small" aria-hidden="true"></i>{{ labels.purge_them }}</button><button type="button" class="btn ghost square" :aria-label="labels.unpick" @click="picked = {}"><i class="icon icon-close" aria-hidden="true"></i></button></div>
    </template>
    <queue-confirm :question="question" :labels="labels" @over="question = null"></queue-confirm>
  </div>`,
  created() {
    this.levelOf = levelOf;
  },
  beforeUnmount() {
    clearTimeout(this.late);
  },
  watch: {
    state(state) {
      this.show(state);
    },
  },
  computed: {
    words() {
      return new Words(this.labels, this.lang);
    },
    filtered() {
      return Object.values(this.filter).some(Boolean);
    },
    ids() {
      return Object.keys(this.picked);
    },
  },
  methods: {
    show(patch) {
      Object.assign(this, patch);
      if (patch.jobs) this.busy = false;
      const here = new Set(this.jobs.map(({ id }) => id));
      for (const id of this.ids) if (!here.has(id)) delete this.picked[id];
    },
    told(id, attempts) {
      this.past = { ...this.past, [id]: attempts };
    },
    fail(code, model) {
      return (this.labels["fail_" + code] ?? this.labels.fail_other).replace("{model}", () => model);
    },
    choose(some) {
      this.filter = { ...this.filter, ...some };
      this.picked = {};
      const query = new URLSearchParams(Object.entries(this.filter).filter(([, value]) => value)).toString();
      history.replaceState(history.state, "", (window.path_prefix ?? "") + "/queue/failed" + (query && "?" + query));
      this.$emit("filter", this.filter);
    },
    typed() {
      clearTimeout(this.late);
      this.late = setTimeout(() => this.choose({ text: this.text.trim() }), 200);
    },
    clear() {
      this.text = "";
      this.choose({ code: "", model: "", user: "", text: "" });
    },
    older() {
      this.busy = true;
      this.$emit("older");
    },
    pick(each, event) {
      if (event.target.checked) this.picked[each.id] = true;
      else delete this.picked[each.id];
    },
    pickAll() {
      this.picked = Object.fromEntries(this.jobs.map(({ id }) => [id, true]));
    },
    open(each) {
      this.opened = this.opened === each.id ? "" : each.id;
      if (this.opened && !this.past[each.id]) this.$emit("look", each.id);
    },
    askReplay(ids) {
      const n = this.words.number(ids ? ids.length : this.total);
      this.question = { title: this.words.fill("replay_ask", { n }), text: this.labels.replay_why, yes: this.labels.replay_them, kind: "primary", then: () => {
        this.$emit("replay", ids);
        this.picked = {};
      } };
    },
    askPurge(ids) {
      const n = this.words.number(ids ? ids.length : this.total);
      this.question = { title: this.words.fill("purge_ask", { n }), text: this.labels.purge_why, yes: this.labels.purge_them, then: () => {
        this.$emit("purge", ids);
        this.picked = {};
      } };
    },
  },
};
