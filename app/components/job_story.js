// One job: its state and buttons, where its time went as one bar, what happened, what was asked, what was answered.
import { Confirm, LEVELS, Words, levelOf } from "corral-queue";
import { Markdown } from "corral-message";

const WAITS = ["waiting", "delayed", "blocked"];
const MOST_MD = 200_000;

export default {
  components: { "queue-confirm": Confirm },
  props: { state: Object, labels: Object, lang: String },
  emits: ["stop", "priority", "replay", "again", "ready"],
  data() {
    return { ...this.state, clock: 0, pending: "", question: null, exact: 5, copied: false, said: false, thought: "", raw: "", live: false, plain: false, known: false };
  },
  template: `
  <div class="job">
    <header class="job-head">
      <div class="job-titles"><div class="row-line"><span class="chip soft job-state" :class="colour"><i v-if="job.held" class="dot run live" aria-hidden="true"></i>{{ labels["state_" + job.state] }}</span>
        <h2 :title="words.title(job)">{{ words.title(job) }}</h2></div>
        <p class="job-id"><code class="mono">{{ job.id }}</code><button type="button" class="btn ghost square" :aria-label="labels.copy_id" :data-tip="copied ? labels.copied : labels.copy_id" @click="copy"><i class="icon small" :class="copied ? 'icon-check' : 'icon-copy'" aria-hidden="true"></i></button></p></div>
      <div class="job-do">
        <a v-if="job.title" class="btn" :href="'/chat/' + encodeURIComponent(job.conversation)"><i class="icon icon-chat small" aria-hidden="true"></i>{{ labels.open_chat }}</a>
        <button v-if="waits" type="button" class="btn" aria-haspopup="menu"><i class="icon icon-bolt small" aria-hidden="true"></i>{{ labels.change }}<i class="icon icon-down small" aria-hidden="true"></i>
          <q-menu anchor="bottom right" self="top right" :offset="[0, 4]" @before-show="exact = job.priority"><div role="menu" class="qb-menu">
            <button v-for="[value, key] in levels" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="job.priority === value" @click="$emit('priority', value)"><span :class="levelOf(value)" aria-hidden="true">●</span><span class="grow">{{ labels[key] }}</span><span class="faint">{{ value }}</span></button>
            <form class="qb-exact" @submit.prevent="valid && $emit('priority', exact)"><label><span class="quiet">{{ labels.exact }}</span><input class="field" type="number" min="0" max="15" step="1" required v-model.number="exact"></label><button class="btn" type="submit" v-close-popup="valid ? 1 : 0">{{ labels.set }}</button></form>
          </div></q-menu></button>
        <button v-if="job.state === 'dead' && !links.replayed" type="button" class="btn primary" :disabled="!!pending" @click="wish('replay')"><i class="icon icon-retry small" aria-hidden="true"></i>{{ labels.replay }}</button>
        <button v-if="['completed', 'cancelled'].includes(job.state) && request.raw" type="button" class="btn" :disabled="!!pending" @click="wish('again')"><i class="icon icon-retry small" aria-hidden="true"></i>{{ labels.do_again }}</button>
        <button v-if="job.alive" type="button" class="btn danger" :disabled="!!pending || job.state === 'cancelling'" @click="stop"><i class="icon small" :class="job.held ? 'icon-stop' : 'icon-close'" aria-hidden="true"></i>{{ job.state === "cancelling" ? labels.stopping : job.held ? labels.stop : labels.cancel }}</button>
      </div>
    </header>
    <p v-if="waits && row" class="job-now"><i class="dot held" aria-hidden="true"></i><b>{{ words.why(row, clock, limit) || labels.now_waits }}</b><span class="quiet">{{ words.eta(row, clock) }}</span></p>
    <p v-else-if="job.held && row" class="job-now run"><i class="dot run live" aria-hidden="true"></i><b>{{ labels.now_runs }}</b><span class="quiet num">{{ nowRuns }}</span></p>
    <section v-else-if="job.state === 'dead'" class="job-trouble" role="group"><i class="icon icon-warn" aria-hidden="true"></i><div><b>{{ failure(job.code) }}</b><p class="quiet">{{ advice(job.code) }}</p><pre v-if="job.detail">{{ job.detail }}</pre></div></section>

    <section class="job-part"><div class="section-head"><h2>{{ labels.where }}</h2><span class="faint num">{{ words.fill("total", { time: words.duration(whole) }) }}</span></div>
      <div class="job-bar" aria-hidden="true"><i v-for="(bar, at) in bars" :key="at" :class="[bar.name, { live: bar.open }]" :style="{ flexGrow: bar.share }" :title="labels['part_' + bar.name] + words.colon + words.duration(bar.seconds)"></i></div>
      <ul class="job-legend"><li v-for="(bar, at) in bars" :key="at"><i :class="bar.name" aria-hidden="true"></i><span>{{ labels["part_" + bar.name] }}<span v-if="job.starts > 1 && bar.attempt" class="faint"> · {{ words.fill("again", { n: bar.attempt }) }}</span></span><b class="num">{{ bar.open ? words.ticking(bar.seconds) : words.duration(bar.seconds) }}</b></li></ul>
    </section>

    <div class="job-columns">
      <div class="job-main">
        <section class="job-part"><div class="section-head"><h2>{{ labels.result }}</h2><span class="grow"></span>
          <button v-if="said" type="button" class="btn ghost tiny" @click="plain = !plain">{{ plain ? labels.read : labels.plain }}</button>
          <a v-if="job.lines || job.held" class="btn ghost tiny" :href="'/api/jobs/' + job.id + '/lines'" :download="job.id + '.ndjson'"><i class="icon icon-save" aria-hidden="true"></i>{{ labels.lines }}</a></div>
          <details v-if="thought" class="job-fold"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.thinking }}</summary><pre class="job-text">{{ thought }}</pre></details>
          <div v-show="said && !plain" ref="prose" class="prose job-prose" :class="{ live }"></div>
          <pre v-if="said && plain" class="job-text" tabindex="0">{{ text() }}</pre>
          <pre v-if="raw" class="job-text" tabindex="0">{{ raw }}</pre>
          <p v-if="incomplete" class="job-incomplete"><i class="icon icon-warn small" aria-hidden="true"></i>{{ incomplete }}</p>
          <i v-if="!known" class="skeleton" style="height:60px" aria-hidden="true"></i>
          <p v-else-if="!said && !raw" class="quiet">{{ job.alive ? labels.no_result : labels.no_words }}</p>
        </section>
        <section class="job-part"><div class="section-head"><h2>{{ labels.request }}</h2></div>
          <p v-if="!request.raw" class="quiet">{{ labels.no_request }}</p>
          <article v-for="(each, at) in request.messages" :key="at" class="job-message"><h3>{{ labels["role_" + each.role] ?? each.role }}<span v-if="each.images" class="faint"> · {{ words.fill("images", { n: each.images }) }}</span></h3><pre class="job-text" tabindex="0">{{ each.text }}</pre><p v-if="each.cut" class="faint">{{ labels.cut }}</p></article>
          <template v-if="request.options.length"><h3 class="job-sub">{{ labels.options }}</h3><dl class="job-options"><template v-for="[name, value] in request.options" :key="name"><dt>{{ name }}</dt><dd>{{ value }}</dd></template></dl></template>
          <details v-if="request.raw" class="job-fold"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.raw_request }}</summary><pre class="job-text" tabindex="0">{{ request.raw }}</pre><p v-if="request.cut" class="faint">{{ labels.cut }}</p></details>
        </section>
      </div>
      <aside class="job-side">
        <section class="job-part"><dl class="kv job-kv">
          <dt>{{ labels.model }}</dt><dd class="clip" :title="job.model">{{ job.model }}</dd>
          <dt>{{ labels.priority }}</dt><dd :class="levelOf(job.priority)">{{ job.rule ? words.fill("by_rule", { priority: words.priority(job.priority), rule: job.rule }) : words.priority(job.priority) }}</dd>
          <dt>{{ labels.user }}</dt><dd class="clip" :title="job.user">{{ job.user || "—" }}</dd>
          <dt>{{ labels.source }}</dt><dd>{{ source }}</dd>
          <template v-if="job.path"><dt>{{ labels.path }}</dt><dd class="mono clip" :title="job.path">{{ job.path }}</dd></template>
          <template v-if="job.worker"><dt>{{ labels.worker }}</dt><dd class="clip" :title="job.worker">{{ job.worker }}</dd></template>
          <template v-if="job.starts"><dt>{{ labels.attempts }}</dt><dd>{{ words.fill("of_most", { n: words.number(job.starts), most: words.number(job.most) }) }}</dd></template>
          <template v-if="job.usage.prompt_tokens"><dt>{{ labels.tokens_in }}</dt><dd>{{ words.fill("tokens", { n: words.number(job.usage.prompt_tokens) }) }}</dd></template>
          <template v-if="job.usage.output_tokens"><dt>{{ labels.tokens_out }}</dt><dd>{{ words.fill("tokens", { n: words.number(job.usage.output_tokens) }) }}</dd></template>
          <template v-if="job.rate"><dt>{{ labels.speed }}</dt><dd>{{ words.rate(job.rate) }}</dd></template>
          <template v-if="job.deadline"><dt>{{ labels.deadline }}</dt><dd>{{ words.moment(job.deadline) }}</dd></template>
        </dl></section>
        <section v-if="linked" class="job-part"><div class="section-head"><h2>{{ labels.links }}</h2></div><ul class="job-links">
          <li v-if="job.conversation && job.title"><span class="faint">{{ labels.conversation }}</span><a class="clip" :href="'/chat/' + encodeURIComponent(job.conversation)">{{ job.title }}</a></li>
          <li v-if="job.batch"><span class="faint">{{ labels.batch }}</span><a class="clip" :href="'/queue/batches?id=' + encodeURIComponent(job.batch)">{{ links.batch || job.batch }}</a></li>
          <li v-if="job.schedule"><span class="faint">{{ labels.schedule }}</span><a class="clip" :href="'/queue/schedules?id=' + encodeURIComponent(job.schedule)">{{ links.schedule || job.schedule }}</a></li>
          <li v-if="links.replay_of"><span class="faint">{{ labels.replay_of }}</span><a class="clip mono" :href="'/jobs/' + links.replay_of">{{ links.replay_of }}</a></li>
          <li v-if="links.replayed"><span class="faint">{{ labels.replayed }}</span><a class="clip mono" :href="'/jobs/' + links.replayed">{{ links.replayed }}</a></li>
          <li v-for="each in links.after" :key="each.id"><span class="faint">{{ labels.comes_after }}</span><a class="clip" :href="'/jobs/' + each.id"><i class="dot" :class="dot(each.state)" aria-hidden="true"></i>{{ brief(each) }}</a></li>
          <li v-for="each in links.next" :key="each.id"><span class="faint">{{ labels.comes_before }}</span><a class="clip" :href="'/jobs/' + each.id"><i class="dot" :class="dot(each.state)" aria-hidden="true"></i>{{ brief(each) }}</a></li>
        </ul></section>
        <section class="job-part"><div class="section-head"><h2>{{ labels.happened }}</h2></div>
          <ol class="job-events"><li v-for="(each, at) in events" :key="at" :class="each.name">
            <div><b>{{ happened(each) }}</b><time class="faint num" :title="words.moment(each.at)">{{ words.clock(each.at) }}</time></div>
            <p v-for="line in more(each)" class="quiet">{{ line }}</p>
            <details v-if="each.detail" class="job-fold"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.said }}</summary><pre class="job-text">{{ each.detail }}</pre></details>
            <details v-if="each.trace" class="job-fold"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.trace }}</summary><pre class="job-text">{{ each.trace }}</pre></details>
          </li></ol></section>
      </aside>
    </div>
    <queue-confirm :question="question" :labels="labels" @over="question = null"></queue-confirm>
  </div>`,
  created() {
    this.levels = LEVELS;
    this.levelOf = levelOf;
    this.source_ = { epoch: -1, text: "" };
    this.show(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 500);
    this.markdown = new Markdown(this.$refs.prose, () => this.labels);
    this.$emit("ready");
  },
  beforeUnmount() {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
  },
  watch: {
    state(state) {
      this.show(state);
    },
    lang() {
      this.$nextTick(() => this.markdown?.relabel());
    },
  },
  computed: {
    words() {
      return new Words(this.labels, this.lang);
    },
    waits() {
      return WAITS.includes(this.job.state);
    },
    valid() {
      return Number.isInteger(this.exact) && this.exact >= 0 && this.exact <= 15;
    },
    colour() {
      return { running: "is-run", cancelling: "is-run", completed: "is-ok", dead: "is-bad", cancelled: "is-quiet" }[this.job.state] ?? "is-warn";
    },
    bars() {
      const all = this.parts.flatMap((part) => (part.name === "run" && !part.until ? this.phases(part) : [part])).map((part) => ({ ...part, open: !part.until, seconds: Math.max(0, (part.until || this.clock) - part.from) }));
      const found = [];
      for (const bar of all.filter((bar) => bar.open || bar.seconds > 0.0005)) {
        const last = found.at(-1);
        if (last && last.name === bar.name && last.attempt === bar.attempt && !last.open) Object.assign(last, { seconds: last.seconds + bar.seconds, open: bar.open });
        else found.push(bar);
      }
      const sum = found.reduce((all, { seconds }) => all + seconds, 0) || 1;
      for (const bar of found) bar.share = Math.max(0.006, bar.seconds / sum) * 1000;
      return found;
    },
    // that what is said is not all there would have been
    incomplete() {
      const { state, usage } = this.job;
      if (!this.known || !(this.said || this.raw || this.thought)) return "";
      return this.labels["incomplete_" + (state === "completed" && usage.truncated ? "truncated" : state)] ?? "";
    },
    whole() {
      return (this.job.ended || this.clock) - this.job.queued;
    },
    nowRuns() {
      const { row, words } = this;
      return [words.ticking(this.clock - row.started), row.tokens ? words.fill("tokens", { n: words.number(row.tokens) }) : this.labels["part_" + this.before], words.rate(row.rate), row.worker].filter(Boolean).join(" · ");
    },
    // what it does until its first token
    before() {
      return this.events.findLast(({ name }) => name === "started")?.resident ? "prompt" : "load_prompt";
    },
    source() {
      return this.words.origin({ ...this.job, schedule: this.links.schedule || this.job.schedule }) || this.words.title({ ...this.job, title: "" });
    },
    linked() {
      const { batch, schedule, conversation, title } = this.job;
      return batch || schedule || (conversation && title) || this.links.replay_of || this.links.replayed || this.links.after?.length || this.links.next?.length;
    },
  },
  methods: {
    text() {
      return this.source_.text;
    },
    // a run that goes on, as far as it is known what it did when
    phases(part) {
      const { began, tokens } = this.row ?? {};
      if (!began) return tokens ? [part] : [{ ...part, name: this.before }];
      return [{ ...part, name: this.before, until: began }, { ...part, name: "write", from: began }];
    },
    show(state) {
      Object.assign(this, state);
      this.pending = "";
      this.skew = state.now - Date.now() / 1000;
      this.tick();
    },
    follow(row, now) {
      this.row = row;
      this.skew = now - Date.now() / 1000;
    },
    settle() {
      this.pending = "";
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
    },
    say(epoch, text, thinking, raw, live) {
      Object.assign(this, { thought: thinking, raw, live, known: true });
      this.source_ = { epoch, text };
      this.paint();
    },
    grow(epoch, offset, text, live) {
      if (!this.known) return;
      if (epoch !== this.source_.epoch) this.source_ = { epoch, text: "" };
      if (offset > this.source_.text.length) return this.$emit("ready"); // something was missed: all of it, please
      this.source_.text += text.slice(this.source_.text.length - offset);
      this.live = live;
      this.paint();
    },
    paint() {
      this.said = !!this.source_.text;
      this.markdown.set(this.source_.text.slice(0, MOST_MD), this.live);
      const draw = () => {
        if (!this.markdown.paint(performance.now() + 8)) this.frame = requestAnimationFrame(draw);
      };
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(draw);
      if (this.plain) this.$forceUpdate();
    },
    wish(name) {
      this.pending = name;
      this.$emit(name);
    },
    stop() {
      if (!this.job.held) return this.wish("stop");
      this.question = { title: this.labels.cancel_ask, text: this.labels.cancel_why, yes: this.labels.stop, then: () => this.wish("stop") };
    },
    async copy() {
      this.copied = await corral.copy(this.job.id);
      setTimeout(() => (this.copied = false), 2000);
    },
    dot(state) {
      return { running: "run live", cancelling: "run", completed: "ok", dead: "bad" }[state] ?? (WAITS.includes(state) ? "held" : "");
    },
    brief({ id, state, kind, model }) {
      return state ? `${this.labels[kind]} · ${model} · ${this.labels["state_" + state]}` : `${id.slice(0, 12)}… ${this.labels.gone}`;
    },
    failure(code) {
      return (this.labels["fail_" + code] ?? this.labels.fail_other).replace("{model}", () => this.job.model);
    },
    advice(code) {
      return (this.labels["do_" + code] ?? this.labels.do_other).replace("{model}", () => this.job.model);
    },
    happened(each) {
      const { words } = this;
      const values = { ...each, n: words.number(each.attempt), worker: each.worker };
      if (each.name === "moved") Object.assign(values, { was: words.priority(each.was), priority: words.priority(each.priority) });
      if (each.name === "shared") values.n = words.number(each.claims);
      return words.fill("ev_" + each.name, values);
    },
    more(each) {
      const { words } = this;
      if (each.name === "submitted") return [words.fill("why_" + each.why, { time: words.moment(each.due), n: words.number(each.after) })];
      if (each.name === "started") return [words.fill("after_wait", { time: words.duration(each.waited) }), this.predicted(each), each.resident && this.labels.resident].filter(Boolean);
      if (each.name === "first_token") return [words.fill("after_start", { time: words.duration(each.seconds) })];
      if (each.name === "completed") return each.lines ? [words.fill("n_lines", { n: words.number(each.lines) })] : [];
      const said = each.code ? [this.failure(each.code) + " (" + each.code + ")"] : [];
      return each.due > each.at ? [...said, words.fill("tries_at", { time: words.clock(each.due) })] : said;
    },
    // what was said about its start, against what happened
    predicted({ at, from, until }) {
      if (!until) return "";
      const { words } = this;
      const values = { from: words.clock(from), until: words.clock(until) };
      if (at < from - 1) return words.fill("sooner", { ...values, time: words.duration(from - at) });
      if (at > until + 1) return words.fill("later", { ...values, time: words.duration(at - until) });
      return words.fill("as_said", values);
    },
  },
};
