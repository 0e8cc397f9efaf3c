// The messages of a conversation: changes come as patches and are kept here; it follows the end unless one scrolls up.
import { Message, Words, isLive } from "corral-message";

const NEAR_PX = 48;
const WANTED_MS = 10_000; // so long a message that was looked for may take to arrive
const HELD_MS = 1500; // and so long it stays in sight, unless one scrolls

export default {
  components: { "desk-message": Message },
  props: { state: Object, labels: Object, lang: String, models: Array },
  emits: ["stop", "retry", "priority", "other", "wish", "gap", "ready"],
  data() {
    return { order: [], views: {}, clock: 0, stuck: true, held: "", news: "" };
  },
  template: `
  <div class="transcript">
    <div class="transcript-scroll" :class="{ more: !stuck && order.length }" ref="scroll" role="log" aria-live="off" :aria-label="labels.conversation" tabindex="0" @scroll.passive="scrolled" @wheel.passive="held = ''" @touchmove.passive="held = ''" @keydown="held = ''">
      <slot v-if="!order.length"></slot>
      <div class="transcript-column" ref="column" v-show="order.length">
        <div v-for="row in rows" :key="row[0]" :class="row.length > 1 ? 'pair' : 'single'">
          <desk-message v-for="id in row" :key="id" ref="messages" :view="views[id]" :source="sources.get(id)" :labels="labels" :words="words" :models="models"
            :clock="ticks(id) ? clock : 0" :order="places[id]" :last="id === order[order.length - 1]" @stop="(job) => $emit('stop', job)" @retry="(which) => $emit('retry', which)"
            @priority="(job, value) => $emit('priority', job, value)" @other="(job, model) => $emit('other', job, model)" @wish="(...wish) => $emit('wish', ...wish)"></desk-message>
        </div>
      </div>
    </div>
    <button v-show="!stuck && order.length" type="button" class="btn jump" @click="toEnd(true)"><i class="icon icon-down small" aria-hidden="true"></i>{{ labels.jump }}</button>
    <p class="sr" role="status" aria-live="polite">{{ news }}</p>
  </div>`,
  created() {
    this.sources = new Map(); // texts, outside of Vue: id → {epoch, text, thinking, show}
    this.figures = {}; // of running messages, shown twice a second
    this.take(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 500);
    this.observer = new ResizeObserver(() => (this.held ? this.hold() : this.stuck && this.toEnd()));
    this.observer.observe(this.$refs.column);
    this.observer.observe(this.$refs.scroll);
    this.top = 0;
    this.toEnd();
    addEventListener("corral-reveal", this.reveal);
    this.reveal({ detail: location.hash.match(/^#m-([0-9a-f]+)$/)?.[1] ?? "" });
    this.$emit("ready", this.version); // what was missed until now is sent again
  },
  beforeUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.letGo);
    removeEventListener("corral-reveal", this.reveal);
    this.observer.disconnect();
  },
  watch: {
    state(state) {
      this.take(state);
    },
  },
  computed: {
    // two answers that are compared stand beside each other
    rows() {
      const rows = [];
      for (const id of this.order) {
        const last = rows.at(-1)?.at(-1);
        if (last && this.views[id].beside === last) rows.at(-1).push(id);
        else rows.push([id]);
      }
      return rows;
    },
    places() {
      return Object.fromEntries(this.order.map((id, place) => [id, place]));
    },
    words() {
      return new Words(this.labels, this.lang);
    },
  },
  methods: {
    // everything, as it is now
    take({ messages, version, now }) {
      const same = messages.some(({ id }) => this.views[id]);
      const kept = {};
      for (const message of messages) {
        const { text, thinking, ...view } = message;
        const source = this.source(view.id);
        const changed = source.epoch !== view.epoch || source.text !== text || source.thinking !== thinking;
        Object.assign(source, { epoch: view.epoch, text, thinking });
        kept[view.id] = Object.freeze({ ...view, speaks: !!text, thinks: !!thinking });
        if (changed) source.show?.();
      }
      this.settle(messages.map(({ id }) => id), kept);
      this.version = version;
      this.healing = false;
      this.skew = now - Date.now() / 1000;
      if (!same) this.stuck = true;
      this.tick();
    },
    // {version, now, order?, messages: {id: fields that changed, grown: [epoch, field, offset, delta][]}}
    patch({ version, now, order, messages }) {
      if (version <= this.version) return; // it was part of what came meanwhile
      if (version !== this.version + 1) return this.ask();
      const views = { ...this.views };
      for (const [id, { grown = [], text, thinking, ...fields }] of Object.entries(messages)) {
        const source = this.source(id);
        for (const [field, value] of Object.entries({ text, thinking })) if (value !== undefined) source[field] = value;
        if (fields.epoch !== undefined) source.epoch = fields.epoch;
        if (text !== undefined || thinking !== undefined) source.show?.();
        for (const [epoch, field, offset, delta] of grown) if (!this.append(id, epoch, delta, offset, field)) return;
        views[id] = this.viewed(views[id], fields, source, id);
      }
      this.version = version;
      this.skew = now - Date.now() / 1000;
      this.settle(order ?? this.order, views);
    },
    // more of a text; what is there already is not added again, and what does not fit is asked for
    append(id, epoch, delta, offset, field = "text") {
      const source = this.sources.get(id);
      if (!source || source.epoch !== epoch || offset > source[field].length) {
        this.ask();
        return false;
      }
      const added = delta.slice(source[field].length - offset);
      if (added) {
        source[field] += added;
        source.show?.();
      }
      return true;
    },
    viewed(before, fields, source, id) {
      const { tokens, rate, ...rest } = fields;
      const view = { ...before, ...rest, speaks: !!source.text, thinks: !!source.thinking };
      if (before?.state === "running" && view.state === "running") {
        if (tokens !== undefined || rate !== undefined) this.figures[id] = { ...this.figures[id], ...figures(fields) };
        const same = before.speaks === view.speaks && before.thinks === view.thinks && !Object.keys(rest).length;
        return same ? before : Object.freeze(view);
      }
      Object.assign(view, this.figures[id], figures(fields));
      delete this.figures[id];
      return Object.freeze(view);
    },
    settle(order, views) {
      const fresh = order.length && order.at(-1) !== this.order.at(-1);
      for (const id of order) if (this.version !== undefined && this.views[id]?.state !== views[id].state) this.tell(views[id]);
      if (order !== this.order) {
        const shown = new Set(order);
        for (const id of this.sources.keys()) if (!shown.has(id)) this.sources.delete(id);
        for (const id in views) if (!shown.has(id)) delete views[id];
        for (const id in this.figures) if (!shown.has(id)) delete this.figures[id];
        const asked = order.slice(-2).some((id) => !this.views[id] && views[id].role === "user");
        this.order = order;
        if (fresh && asked) this.stuck = true; // one who asks wants to see the answer
        this.$nextTick(this.seek);
      }
      this.views = views;
    },
    // a message that was looked for is to be shown, once it is here
    reveal({ detail }) {
      this.wanted = detail;
      this.wantedUntil = Date.now() + WANTED_MS;
      this.seek();
    },
    seek() {
      if (!this.wanted || !this.order.length || !this.$refs.scroll) return;
      if (Date.now() > this.wantedUntil) return (this.wanted = "");
      if (!this.order.includes(this.wanted)) return this.$emit("wish", "turn", this.wanted, 0); // on another branch, perhaps
      [this.held, this.wanted, this.stuck] = [this.wanted, "", false];
      clearTimeout(this.letGo);
      this.letGo = setTimeout(() => {
        this.held = "";
        this.scrolled(); // it may be at the end already
      }, HELD_MS);
      this.$nextTick(() => {
        const el = this.hold();
        el?.classList.remove("sought");
        el?.getBoundingClientRect(); // so that a second look is marked, too
        el?.classList.add("sought");
      });
    },
    // it stays in sight while what is above it is still being drawn
    hold() {
      const el = this.$refs.column?.querySelector(`[data-message="${CSS.escape(this.held)}"]`);
      if (el) el.scrollIntoView({ block: el.clientHeight > this.$refs.scroll.clientHeight ? "start" : "center" });
      return el;
    },
    tell(view) {
      if (this.views[view.id] || isLive(view)) this.news = this.words.announce(view);
    },
    source(id) {
      if (!this.sources.has(id)) this.sources.set(id, { epoch: 0, text: "", thinking: "", show: null });
      return this.sources.get(id);
    },
    ask() {
      if (this.healing) return;
      this.healing = true;
      this.$emit("gap");
    },
    ticks(id) {
      return isLive(this.views[id]);
    },
    tick() {
      this.clock = Date.now() / 1000 + this.skew;
      const late = Object.entries(this.figures).filter(([id]) => this.views[id]);
      this.figures = {};
      if (!late.length) return;
      this.views = { ...this.views, ...Object.fromEntries(late.map(([id, more]) => [id, Object.freeze({ ...this.views[id], ...more })])) };
    },
    // a wish for this message was refused: its buttons work again
    release(id) {
      this.$refs.messages?.find((message) => message.view.id === id)?.settle();
    },
    scrolled() {
      if (!this.$refs.scroll) return; // it was left while it still rolled
      const { scrollTop, scrollHeight, clientHeight } = this.$refs.scroll;
      const atEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
      if (atEnd) this.stuck = !this.held;
      else if (scrollTop < this.top - 1) this.stuck = false;
      this.top = scrollTop;
    },
    toEnd(asked) {
      const el = this.$refs.scroll;
      if (!el) return;
      this.stuck = true;
      if (!this.order.length) return; // what stands there instead is read from its beginning
      el.scrollTop = el.scrollHeight;
      this.top = el.scrollTop;
      if (asked) el.focus({ preventScroll: true });
    },
  },
};

function figures({ tokens, rate }) {
  return { ...(tokens !== undefined && { tokens }), ...(rate !== undefined && { rate }) };
}
