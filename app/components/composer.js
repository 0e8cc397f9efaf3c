// The text belongs to the browser until it is sent: one draft per conversation in sessionStorage ('' is a new one).
const LEVELS = [
  [-1, "auto"], // guessed from the content by the queue
  [1, "low"],
  [5, "normal"],
  [10, "high"],
  [15, "realtime"],
];
const SEARCH_FROM = 9; // models
const DRAFT = "corral-draft:";
const PICKS = "corral-picks";

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["part", "send", "stop"],
  data() {
    return {
      key: this.state.conversation,
      text: "",
      model: "",
      priority: 5,
      pending: null, // what was sent and is not answered yet
      notice: "",
      refusal: false, // the notice is a no of the server
      found: "",
      touch: matchMedia("(hover: none)").matches,
    };
  },
  template: `
  <form class="composer" :class="{ over: tooLong }" @submit.prevent="press">
    <p v-if="said" class="composer-notice" :class="{ bad: wrong }" role="status"><i class="icon small" :class="wrong ? 'icon-warn' : 'icon-info'"></i><span>{{ said }}</span></p>
    <textarea ref="box" rows="1" :value="text" :aria-label="labels.message" :placeholder="touch ? labels.placeholder_touch : labels.placeholder"
      :aria-invalid="tooLong" enterkeyhint="send" @input="typed" @keydown.enter="entered"></textarea>
    <div class="composer-row">
      <button type="button" class="btn composer-model" :class="{ missing: !listed }" :aria-label="labels.model + colon + (model || labels.no_model)" aria-haspopup="menu">
        <span class="clip">{{ model || labels.no_model }}</span><span v-if="isDemo(model)" class="chip soft">{{ labels.demo }}</span><i class="icon icon-down"></i>
        <q-menu anchor="top left" self="bottom left" :offset="[0, 6]" @show="opened" @hide="found = ''">
          <div class="composer-models">
            <input v-if="searchable" ref="search" class="field" type="search" v-model="found" :placeholder="labels.search" :aria-label="labels.search" @keydown.enter.prevent="first" @keydown.down.prevent="$refs.menu.querySelector('button')?.focus()">
            <div ref="menu" role="menu" :aria-label="labels.pick" class="composer-menu" @keydown.down.prevent="move(1)" @keydown.up.prevent="move(-1)">
              <button v-for="each in shown" :key="each.name" type="button" role="menuitemradio" class="menu-item" v-close-popup :aria-checked="each.name === model" @click="choose(each.name)">
                <span class="grow clip">{{ each.name }}</span><span v-if="each.demo" class="chip soft">{{ labels.demo }}</span><span v-else class="faint">{{ each.size }}</span></button>
            </div>
            <p v-if="!shown.length" class="quiet">{{ state.models.length ? labels.none_found : labels.no_model_why }}</p>
          </div>
        </q-menu>
      </button>
      <div class="seg" role="radiogroup" :aria-label="labels.priority" @keydown="steer">
        <button v-for="[value, name] in levels" :key="value" type="button" role="radio" :aria-checked="priority === value" :tabindex="priority === value ? 0 : -1" :class="levelOf(value)" :title="value < 0 ? labels.auto_why : undefined" @click="rank(value)">{{ labels[name] }}</button>
      </div>
      <span class="grow"></span>
      <span v-if="meter" class="faint composer-size">{{ meter }}</span>
      <button type="submit" class="btn composer-send" :class="{ primary: !state.alive }" :disabled="state.alive === 'stopping'" :aria-disabled="!state.alive && !ready" :title="why">
        <i class="icon small" :class="state.alive ? 'icon-stop' : 'icon-send'"></i><span>{{ state.alive ? (state.alive === "stopping" ? labels.stopping : labels.stop) : labels.send }}</span></button>
    </div>
  </form>`,
  created() {
    this.levels = LEVELS;
    this.recall();
  },
  mounted() {
    this.fit();
    if (!this.touch) this.focus();
    let width = 0; // the panes beside it settle only after the window's own resize event
    this.resizes = new ResizeObserver(([entry]) => {
      if (entry.contentRect.width === width) return;
      width = entry.contentRect.width;
      requestAnimationFrame(this.fit);
    });
    this.resizes.observe(this.$el);
    addEventListener("resize", this.fit); // the limit follows the window's height
  },
  beforeUnmount() {
    this.resizes.disconnect();
    removeEventListener("resize", this.fit);
  },
  watch: {
    state(now, before) {
      if (now.conversation !== this.key && !this.pending) this.turn(now.conversation);
      else if (now.models !== before.models || now.model !== before.model) this.settle();
      if (before.alive && !now.alive && this.notice === this.labels.wait) this.notice = "";
    },
    labels() {
      this.notice = "";
    },
    notice(now) {
      if (!now) this.refusal = false;
    },
  },
  computed: {
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
    shown() {
      const wanted = this.found.trim().toLowerCase();
      return this.state.models.filter((each) => each.name.toLowerCase().includes(wanted));
    },
    searchable() {
      return this.state.models.length >= SEARCH_FROM;
    },
    listed() {
      return this.state.models.some((each) => each.name === this.model);
    },
    bytes() {
      const limit = this.state.limit;
      return this.text.length * 3 < limit * 0.8 ? 0 : new TextEncoder().encode(this.text).length; // 0: far from the limit
    },
    tooLong() {
      return this.bytes > this.state.limit;
    },
    meter() {
      if (this.bytes < this.state.limit * 0.8 || this.tooLong) return "";
      return this.labels.size_of.replace("{size}", this.amount(this.bytes)).replace("{limit}", this.amount(this.state.limit));
    },
    ready() {
      return Boolean(this.text.trim()) && !this.tooLong && !this.why && !this.pending;
    },
    why() {
      if (this.state.alive) return "";
      if (this.state.blocked) return this.labels[this.state.blocked];
      return this.model ? "" : this.labels.no_model_why;
    },
    wrong() {
      return this.tooLong || this.refusal;
    },
    said() {
      if (this.tooLong)
        return this.labels.too_long.replace("{size}", this.amount(this.bytes)).replace("{limit}", this.amount(this.state.limit));
      if (this.notice) return this.notice;
      if (!this.text.trim()) return "";
      return this.why || (this.listed || this.state.alive ? "" : this.labels.not_there.replace("{model}", this.model));
    },
  },
  methods: {
    // called from the server
    accepted(nonce, conversation) {
      if (this.pending?.nonce !== nonce) return;
      const { key, text } = this.pending;
      this.pending = null;
      const rest = this.text.startsWith(text) ? this.text.slice(text.length) : this.text; // typed meanwhile
      forget(key);
      this.key = conversation;
      this.picked = false; // they are the conversation's own now
      this.put(rest.trim() ? rest : "");
      this.notice = "";
      if (this.state.conversation !== conversation) this.turn(this.state.conversation);
    },
    refused(nonce, reason) {
      if (this.pending?.nonce !== nonce) return;
      this.pending = null;
      this.notice = reason;
      this.refusal = true;
      if (this.state.conversation !== this.key) this.turn(this.state.conversation);
    },
    fill(text) {
      this.put(text);
      this.focus();
    },
    focus() {
      const box = this.$refs.box;
      box?.focus({ preventScroll: true });
      box?.setSelectionRange(box.value.length, box.value.length);
    },

    // text
    typed(event) {
      this.text = event.target.value;
      this.notice = "";
      this.save();
      this.fit();
    },
    entered(event) {
      if (event.shiftKey || event.isComposing || event.keyCode === 229) return; // Enter picks a word while composing
      event.preventDefault();
      if (this.state.alive) this.notice = this.labels.wait;
      else this.send();
    },
    press() {
      if (this.state.alive) this.$emit("stop");
      else this.send();
    },
    send() {
      if (!this.text.trim() || this.tooLong || this.pending) return this.focus();
      if (this.why) {
        this.notice = this.why;
        return;
      }
      if (this.text.isWellFormed && !this.text.isWellFormed()) this.put(this.text.toWellFormed()); // half a pair of surrogates would never arrive
      this.pending = { nonce: Math.random().toString(36).slice(2), key: this.key, text: this.text };
      keep("sending", { ...this.pending });
      const { nonce, key, text } = this.pending;
      for (const part of parts(text)) this.$emit("part", nonce, part);
      this.$emit("send", { nonce, key, model: this.model, priority: this.priority });
    },
    put(text) {
      this.text = text;
      this.save();
      this.$nextTick(this.fit);
    },
    fit() {
      const box = this.$refs.box;
      if (!box) return;
      box.style.height = "auto";
      box.style.height = Math.min(box.scrollHeight, innerHeight * 0.4) + "px";
      box.style.overflowY = box.scrollHeight > innerHeight * 0.4 ? "auto" : "hidden";
    },

    // drafts and picks
    turn(key) {
      this.key = key;
      this.notice = "";
      this.recall();
      this.$nextTick(() => {
        this.fit();
        if (!this.touch && !document.activeElement?.closest("input")) this.focus(); // a title may be being renamed
      });
    },
    recall() {
      const draft = read(sessionStorage, DRAFT + this.key) ?? {};
      const sent = read(sessionStorage, DRAFT + "sending");
      this.text = draft.text ?? "";
      if (sent && this.state.accepted.includes(sent.nonce)) {
        // the page was left between the sending and the answer
        if (sent.key === this.key && this.text === sent.text) this.put("");
        forget("sending");
      }
      const last = read(localStorage, PICKS) ?? {};
      this.picked = Boolean(draft.model);
      this.wanted = draft.model || this.state.model || last.model || "";
      this.priority = draft.priority ?? (this.state.priority || last.priority || 5);
      if (!LEVELS.some(([value]) => value === this.priority)) this.priority = 5;
      this.settle(last.model);
    },
    settle(last = read(localStorage, PICKS)?.model) {
      const names = this.state.models.map((each) => each.name);
      const wanted = this.wanted || this.state.model;
      const instead = names.includes(last) ? last : names[0];
      // the demo never takes the place of a real model that was picked: that would be another answer than was asked for
      this.model = !names.length || names.includes(wanted) || (wanted && this.isDemo(instead)) ? wanted : instead;
    },
    save() {
      const own = this.picked ? { model: this.model, priority: this.priority } : {};
      if (this.text || this.picked) keep(this.key, { text: this.text, ...own });
      else forget(this.key);
    },
    choose(name) {
      this.model = this.wanted = name;
      this.remember();
      this.$nextTick(() => this.focus());
    },
    rank(value) {
      this.priority = value;
      this.remember();
    },
    remember() {
      this.picked = true;
      this.save();
      try {
        localStorage.setItem(PICKS, JSON.stringify({ model: this.model, priority: this.priority }));
      } catch {} // a full or forbidden storage forgets, no more
    },

    // keys
    opened() {
      this.$refs.menu.querySelector('[aria-checked="true"]')?.scrollIntoView({ block: "center" });
      (this.$refs.search ?? this.$refs.menu.querySelector('[aria-checked="true"]') ?? this.$refs.menu.querySelector("button"))?.focus();
    },
    first() {
      this.$refs.menu.querySelector("button")?.click();
    },
    move(step) {
      const items = [...this.$refs.menu.querySelectorAll("button")];
      items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
    },
    steer(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const place = LEVELS.findIndex(([value]) => value === this.priority);
      this.rank(LEVELS[(place + step + LEVELS.length) % LEVELS.length][0]);
      this.$nextTick(() => this.$el.querySelector('[role="radio"][aria-checked="true"]').focus());
    },

    // words
    isDemo(name) {
      return this.state.models.some((each) => each.name === name && each.demo);
    },
    levelOf(priority) {
      return priority < 0 ? "p-auto" : priority < 4 ? "p-low" : priority < 8 ? "p-normal" : priority < 13 ? "p-high" : "p-real";
    },
    amount(bytes) {
      const number = (value, digits) => new Intl.NumberFormat(this.lang, { maximumFractionDigits: digits }).format(value);
      if (bytes < 10_000) return this.labels.bytes.replace("{n}", number(bytes, 0));
      return this.labels.kilobytes.replace("{n}", number(bytes / 1000, bytes < 100_000 ? 1 : 0));
    },
  },
};

// A text in pieces that fit the socket however they are escaped; a pair of surrogates stays together.
function* parts(text) {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + 100_000);
    if (to < text.length && (text.charCodeAt(to - 1) & 0xfc00) === 0xd800) to--;
    yield text.slice(from, to);
    from = to;
  }
}

function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}

function keep(key, draft) {
  try {
    sessionStorage.setItem(DRAFT + key, JSON.stringify(draft));
  } catch {} // too much text for the storage: it is kept on the page only
}

function forget(key) {
  try {
    sessionStorage.removeItem(DRAFT + key);
  } catch {}
}
