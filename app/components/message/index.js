// One message. Vue draws what stands around the text; the text itself goes straight into the page, as it arrives.
import { copy } from "./copy.js";
import { Markdown } from "./markdown.js";
import { Offer } from "./offer.js";
import { forget, request } from "./painter.js";
import { Files, Turns } from "./parts.js";
import { LEVELS, level } from "./words.js";

const LONG = 1200; // characters of a question, or lines; what follows is folded
const LINES = 14;
const FOLDED = 6000; // so many are drawn while it is folded, which is more than can be seen

const WAITS = new Set(["sending", "blocked", "waiting", "delayed"]);
const LIVE = new Set([...WAITS, "running", "cancelling"]);

export { Markdown } from "./markdown.js"; // for pages that show an answer by itself
export { Words } from "./words.js";

export function isLive(view) {
  return LIVE.has(view.state);
}

export const Message = {
  name: "DeskMessage",
  // view: a message without its texts; source: {text, thinking, show}; clock: unix seconds, for live ones
  props: { view: Object, source: Object, labels: Object, words: Object, clock: Number, order: Number, models: { type: Array, default: () => [] }, last: Boolean },
  emits: ["stop", "retry", "priority", "other", "wish"],
  components: { "desk-turns": Turns, "desk-files": Files },
  data() {
    return { copied: "", pending: "", offer: null, draft: null, long: false, whole: false };
  },
  template: `
  <article v-if="view.role === 'user'" class="msg user" :data-message="view.id" :aria-label="labels.you">
    <desk-files v-if="view.files?.length" :files="view.files" :labels="labels" :words="words"></desk-files>
    <form v-if="draft !== null" class="edit" @submit.prevent="ask"><textarea ref="draft" v-model="draft" :aria-label="labels.edit" @input="fitDraft" @keydown.esc.stop="draft = null" @keydown.enter="enterDraft"></textarea>
      <div class="row-line"><span class="faint grow">{{ labels.edit_why }}</span><button type="button" class="btn" @click="draft = null">{{ labels.cancel }}</button><button type="submit" class="btn primary" :disabled="!draft.trim() || pending === 'edit'">{{ labels.send }}</button></div></form>
    <div v-show="draft === null && view.speaks" class="bubble" :class="{ long: long && !whole }" ref="bubble" :title="words.moment(view.at)"></div>
    <button v-if="long && draft === null" type="button" class="btn ghost tiny bubble-more" :aria-expanded="whole" @click="whole = !whole"><i class="icon icon-down" :class="{ up: whole }" aria-hidden="true"></i>{{ whole ? labels.less : labels.more }}</button>
    <div v-if="draft === null" class="meta meta-ask"><desk-turns v-if="view.turns > 1" :view="view" :labels="labels" @turn="turn"></desk-turns>
      <span class="meta-do"><button v-if="view.speaks" type="button" class="btn ghost tiny" :class="{ done: copied === 'copied' }" @click="copyAll"><i class="icon" :class="copied === 'copied' ? 'icon-check' : 'icon-copy'" aria-hidden="true"></i>{{ labels[copied || 'copy'] }}</button>
      <button type="button" class="btn ghost tiny" @click="edit"><i class="icon icon-pencil" aria-hidden="true"></i>{{ labels.edit }}</button></span></div>
  </article>
  <article v-else class="msg answer" :class="view.state" :data-message="view.id" :aria-label="labels.answer" :aria-busy="live">
    <p v-if="view.beside" class="pair-name clip">{{ view.model }}</p>
    <details v-show="view.thinks" class="thinking"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ thoughts }}</summary>
      <div ref="thinking" class="thinking-text"></div></details>
    <div v-show="view.speaks" ref="body" class="prose" :class="{ live: streaming }"></div>
    <details v-for="call in view.tools" class="tool"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.tool }}<code>{{ call.name }}</code></summary><pre tabindex="0">{{ call.arguments }}</pre></details>

    <section v-if="waits" class="wait">
      <div class="row-line">
        <i v-if="view.state === 'sending'" class="dot run live"></i>
        <strong class="wait-big">{{ headline }}</strong>
        <span v-if="view.state !== 'sending'" class="wait-chip chip" :class="levelOf(view.priority)" :title="labels.priority">{{ words.priority(view.priority) }}</span>
      </div>
      <div v-if="pips" class="pips" aria-hidden="true"><i v-for="n in pips"></i><b></b></div>
      <p v-if="why" class="wait-why">{{ command ? words.before(why) : why }}<code v-if="command">{{ command }}</code></p>
      <button v-if="offer" type="button" class="btn wait-other" :class="{ off: !offer.open }" :disabled="!offer.open || !!pending" @click="other"><i class="icon icon-clock small" aria-hidden="true"></i><span>{{ otherSaid }}</span></button>
      <div v-if="view.state !== 'sending'" class="row-line wait-do">
        <button v-if="view.state === 'waiting'" type="button" class="btn" aria-haspopup="menu" :disabled="!!pending"><i class="icon icon-bolt small" aria-hidden="true"></i>{{ labels.change }}
          <q-menu anchor="bottom left" self="top left" :offset="[0, 4]"><div role="menu" class="priority-menu">
            <button v-for="[value, name] in levels" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="view.priority === value"
              @click="prioritise(value)"><span :class="levelOf(value)" aria-hidden="true">●</span><span class="grow">{{ labels[name] }}</span></button></div></q-menu></button>
        <button type="button" class="btn" :disabled="!!pending" @click="stop">{{ pending === 'stop' ? labels.cancelling : labels.cancel }}</button>
        <span class="grow"></span><span class="faint num">{{ waited }}</span>
      </div>
    </section>

    <p v-if="running && note" class="note"><i class="icon icon-info small" aria-hidden="true"></i>{{ note }}</p>
    <div v-if="running" class="meta doing">
      <i class="dot run live"></i>
      <span v-for="part in progress">{{ part }}</span>
      <button type="button" class="btn tiny" :disabled="stopping" @click="stop"><i class="icon icon-stop" aria-hidden="true"></i>{{ stopping ? labels.stopping : labels.stop }}</button>
    </div>

    <div v-if="trouble" class="trouble" :class="view.state" role="group" :aria-label="trouble.what">
      <i class="icon icon-warn" aria-hidden="true"></i>
      <div class="grow"><p class="trouble-what">{{ trouble.what }}</p><p v-if="trouble.todo" class="trouble-todo">{{ trouble.todo }}</p>
        <details v-if="view.detail" class="trouble-more"><summary><i class="icon icon-right small" aria-hidden="true"></i>{{ labels.details }}</summary><pre>{{ view.detail }}</pre></details></div>
      <button type="button" class="btn" :disabled="pending === 'retry'" @click="retry"><i class="icon icon-retry small" aria-hidden="true"></i>{{ labels.retry }}</button>
    </div>
    <p v-if="view.state === 'cancelled'" class="note"><i class="icon icon-stop small" aria-hidden="true"></i>{{ labels.stopped }}</p>
    <p v-if="short" class="note"><i class="icon icon-info small" aria-hidden="true"></i>{{ short }}</p>
    <p v-if="view.state === 'completed' && !view.speaks" class="note"><i class="icon icon-info small" aria-hidden="true"></i>{{ labels.silent }}</p>

    <div v-if="ended || trouble && view.turns > 1" class="meta">
      <desk-turns v-if="view.turns > 1 && !view.beside" :view="view" :labels="labels" @turn="turn"></desk-turns>
      <span v-for="part in figures">{{ part }}</span>
      <span class="meta-do"><button v-if="view.speaks" type="button" class="btn ghost tiny" :class="{ done: copied === 'copied' }" @click="copyAll"><i class="icon" :class="copied === 'copied' ? 'icon-check' : 'icon-copy'" aria-hidden="true"></i>{{ labels[copied || 'copy'] }}</button>
      <button v-if="!trouble && !view.beside" type="button" class="btn ghost tiny" :disabled="pending === 'retry'" @click="retry"><i class="icon icon-retry" aria-hidden="true"></i>{{ labels.anew }}</button>
      <button v-if="!view.beside && others.length" type="button" class="btn ghost tiny meta-other" aria-haspopup="menu" :aria-label="labels.anew_with" :title="labels.anew_with"><i class="icon icon-down" aria-hidden="true"></i>
        <q-menu anchor="top left" self="bottom left" :offset="[0, 4]"><div class="again-menu"><p class="faint" aria-hidden="true">{{ labels.anew_with }}</p><div role="menu" :aria-label="labels.anew_with">
          <button v-for="name in others" type="button" role="menuitem" class="menu-item" v-close-popup @click="again(name)"><span class="clip">{{ name }}</span></button></div></div></q-menu></button>
      <button v-if="unfinished" type="button" class="btn ghost tiny" :disabled="pending === 'goon'" @click="goOn"><i class="icon icon-play" aria-hidden="true"></i>{{ labels.goon }}</button></span>
    </div>
    <button v-if="view.beside && !waits" type="button" class="btn keep" :disabled="pending === 'keep'" @click="keep"><i class="icon icon-check small" aria-hidden="true"></i>{{ labels.keep }}</button>
  </article>`,
  created() {
    this.levels = LEVELS;
    this.levelOf = level;
    this.forgetOffer();
    this.see();
  },
  mounted() {
    this.source.show = this.show = () => this.refresh();
    if (this.view.role !== "user") {
      this.markdown = new Markdown(this.$refs.body, () => this.labels);
      this.painting = { paint: (until) => this.paint(until) };
    }
    this.refresh();
  },
  beforeUnmount() {
    if (this.source.show === this.show) this.source.show = null;
    clearTimeout(this.timer);
    if (this.painting) forget(this.painting);
  },
  watch: {
    "view.state"(state, before) {
      this.pending = "";
      if (state !== "waiting") this.forgetOffer();
      if (LIVE.has(state) !== LIVE.has(before)) this.refresh();
    },
    clock() {
      this.see();
    },
    "view.other"() {
      this.see();
    },
    "view.turn"() {
      this.pending = "";
    },
    whole() {
      this.refresh();
    },
    labels() {
      this.$nextTick(() => this.markdown?.relabel());
    },
  },
  computed: {
    waits() {
      return WAITS.has(this.view.state);
    },
    running() {
      return this.view.state === "running" || this.view.state === "cancelling";
    },
    live() {
      return isLive(this.view);
    },
    streaming() {
      return this.view.state === "running";
    },
    thoughts() {
      const { view, words } = this;
      if (this.streaming && !view.speaks) return this.labels.thinking;
      return view.thought >= 0.1 ? words.say("thought_for", { time: words.seconds(view.thought) }) : this.labels.thought;
    },
    others() {
      return this.models.filter((name) => name !== this.view.model);
    },
    // whether the model could go on where it ended
    unfinished() {
      const { view } = this;
      return this.last && !view.beside && view.speaks && !this.live && (["cancelled", "dead", "unsent"].includes(view.state) || Boolean(this.short));
    },
    ended() {
      return !this.live && (this.view.speaks || this.view.state === "completed" || this.view.state === "cancelled");
    },
    stopping() {
      return this.view.state === "cancelling" || this.pending === "stop";
    },
    note() {
      return this.words.note(this.view);
    },
    short() {
      const { state, truncated, done_reason } = this.view;
      if (state !== "completed") return "";
      return truncated ? this.labels.truncated : done_reason === "length" ? this.labels.length : "";
    },
    headline() {
      const { view, words } = this;
      const rest = Math.ceil(view.due - this.clock);
      if (view.state === "waiting" && view.reason === "limited" && rest > 0) return words.say("limited_for", { time: words.ticking(rest) });
      if (view.state !== "delayed") return words.with(words.with(words.standing(view), this.eta), this.willLoad);
      if (rest <= 0) return this.labels.any_moment;
      const time = words.ticking(rest);
      if (!view.failures) return words.say("later", { time });
      return words.say(view.failures > 1 ? "failed_often" : "failed_once", { n: words.number(view.failures), time });
    },
    // when it will probably start: seconds from now, never more exact than it is known
    eta() {
      const { view, words } = this;
      if (view.state !== "waiting" || view.reason !== "ahead" || !view.latest) return "";
      const [from, to] = [view.earliest - this.clock, view.latest - this.clock].map((left) => Math.max(0, Math.round(left)));
      if (to < 2) return this.labels.soon;
      return from < 1 || from === to ? words.say("within", { time: words.ticking(to) }) : words.say("between", { from: words.ticking(from), to: words.ticking(to) });
    },
    willLoad() {
      const { view, words } = this;
      const loads = view.state === "waiting" && view.reason === "ahead" && view.will_load >= 1;
      return loads ? words.say("will_load", { time: words.ticking(Math.round(view.will_load)) }) : "";
    },
    otherSaid() {
      if (this.pending === "other") return this.words.say("changing", { model: this.offer.model });
      return this.words.other(this.offer, this.clock);
    },
    why() {
      const { view, words } = this;
      if (view.state === "delayed") return view.code ? words.cause(view.code, view.model) : this.note;
      if (view.state === "sending") return "";
      const next = view.state === "waiting" && view.reason === "ahead" && view.ahead === 0;
      return [this.note, view.reason === "no_worker" ? words.help(view) : next ? words.say("next_why", { model: view.model }) : ""].filter(Boolean).map((text, place, all) => (place < all.length - 1 ? words.before(text) : text)).join("");
    },
    command() {
      return this.view.state === "waiting" ? this.words.command(this.view) : "";
    },
    pips() {
      return this.view.state === "waiting" && ["", "ahead"].includes(this.view.reason) ? Math.min(this.view.ahead ?? 0, 24) : 0;
    },
    waited() {
      const { view, words } = this;
      return view.queued ? words.say("waiting_for", { model: view.model, time: words.ticking(this.clock - view.queued) }) : view.model;
    },
    progress() {
      const { view, words } = this;
      const spent = view.started ? words.ticking(this.clock - view.started) : "";
      if (!view.tokens && !view.speaks && !view.thinks) return [words.say("reading", { model: view.model }), spent].filter(Boolean);
      return [view.model, view.rate ? words.rate(view.rate) : "", view.tokens ? words.tokens(view.tokens) : "", spent].filter(Boolean);
    },
    figures() {
      const { view, words } = this;
      return [
        view.model,
        view.waited >= 0.05 ? words.say("waited", { time: words.seconds(view.waited) }) : "",
        view.load >= 1 ? words.say("loaded", { time: words.seconds(view.load) }) : "",
        view.first >= 0.05 ? words.say("first", { time: words.seconds(view.first) }) : "",
        view.rate || view.speed ? words.rate(view.rate || view.speed) : "",
        view.tokens ? words.tokens(view.tokens) : "",
      ].filter(Boolean);
    },
    trouble() {
      const { view, words } = this;
      if (view.state === "dead") return { what: words.cause(view.code, view.model), todo: words.advice(view.code, view.model) };
      if (view.state === "unsent") return { what: words.unsent(view.code, view.retry_after), todo: "" };
      return null;
    },
  },
  methods: {
    // the text has changed, or whether more of it may come
    refresh() {
      if (this.view.role === "user") {
        const { text } = this.source;
        this.long = text.length > LONG || text.split("\n", LINES + 1).length > LINES;
        this.$refs.bubble.textContent = this.long && !this.whole ? text.slice(0, FOLDED) : text;
        return;
      }
      this.painting.order = this.order;
      this.stale = true;
      request(this.painting);
    },
    paint(until) {
      if (this.stale) {
        this.stale = false;
        this.markdown.set(this.source.text, this.live);
        grow(this.$refs.thinking, this.source.thinking);
      }
      return this.markdown.paint(until);
    },
    stop() {
      this.pending = "stop";
      this.$emit("stop", this.view.job);
    },
    turn(step) {
      this.$emit("wish", "turn", this.view.id, step);
    },
    edit() {
      this.draft = this.source.text;
      this.$nextTick(() => {
        this.fitDraft();
        this.$refs.draft?.focus();
      });
    },
    fitDraft() {
      const box = this.$refs.draft;
      if (!box) return;
      box.style.height = "auto";
      box.style.height = Math.min(box.scrollHeight + 2, innerHeight * 0.5) + "px";
    },
    enterDraft(event) {
      if (event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.ask();
    },
    ask() {
      if (!this.draft.trim() || this.pending) return;
      this.pending = "edit";
      this.$emit("wish", "edit", this.view.id, this.draft.toWellFormed?.() ?? this.draft);
    },
    again(model) {
      this.pending = "retry";
      this.$emit("wish", "again", this.view.id, model);
    },
    goOn() {
      this.pending = "goon";
      this.$emit("wish", "goon", this.view.id);
    },
    keep() {
      this.pending = "keep";
      this.$emit("wish", "keep", this.view.id);
    },
    retry() {
      this.pending = "retry";
      this.$emit("retry", this.view.id);
    },
    prioritise(value) {
      if (value !== this.view.priority) this.$emit("priority", this.view.job, value);
    },
    other() {
      this.pending = "other";
      this.$emit("other", this.view.job, this.offer.model);
    },
    see() {
      const { state, other, other_at } = this.view;
      if (state === "waiting" && this.clock) this.offer = this.offers.see(other, other_at, this.clock);
    },
    forgetOffer() {
      this.offers = new Offer();
      this.offer = null;
    },
    settle() {
      this.pending = "";
    },
    async copyAll() {
      clearTimeout(this.timer);
      this.copied = (await copy(this.source.text, this.$refs.body)) ? "copied" : "copy_by_hand";
      this.timer = setTimeout(() => (this.copied = ""), 2000);
    },
  },
};

// thinking is shown as it is; a text that only grows costs its growth only
function grow(el, text) {
  const node = el.firstChild;
  if (node && text.startsWith(node.data)) {
    if (text.length > node.data.length) node.appendData(text.slice(node.data.length));
  } else {
    el.textContent = text;
  }
}
