// The text belongs to the browser until it is sent: one draft per conversation in sessionStorage ('' is a new one).
import { Attached, NextList, PromptMenu, MOST_FILES, bring, gapIn, nextGap } from "corral-writing";

const LEVELS = [
  [-1, "auto"], // guessed from the content by the queue
  [1, "low"],
  [5, "normal"],
  [10, "high"],
  [15, "realtime"],
];
const SEARCH_FROM = 9; // models
const TALL = 20_000; // characters that need all the height there is
const DRAFT = "corral-draft:";
const PICKS = "corral-picks";

// what the settings page says new conversations begin with; without it, what was picked last
function defaults() {
  try {
    return JSON.parse(decodeURIComponent(document.cookie.match(/(?:^|; )corral_defaults=([^;]*)/)?.[1] ?? "{}")) ?? {};
  } catch {
    return {};
  }
}

export default {
  components: { "composer-attached": Attached, "composer-next": NextList, "composer-prompts": PromptMenu },
  props: { state: Object, labels: Object, lang: String },
  emits: ["part", "send", "stop", "next", "suggest", "book", "options"],
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
      files: [], // {key, name, picture, size, url, id}; without an id it is on its way up
      beside: "", // another model, that answers as well
      over: false, // something is being dragged over the page
      asked: "", // what stands behind "/", null when no prompt is looked for
      looking: false,
      marked: 0,
      touch: matchMedia("(hover: none)").matches,
    };
  },
  template: `
  <form class="composer" :class="{ over: tooLong, dropping: over }" @submit.prevent="press">
    <composer-next v-if="state.next.length" :lines="state.next" :of="state.conversation" :held="state.held" :labels="labels" @next="(...wish) => $emit('next', ...wish)" @late="late"></composer-next>
    <div v-if="state.suggesting" class="composer-suggesting" role="status"><i class="dot run live"></i><span class="grow">{{ suggestingSaid }}</span><button type="button" class="btn tiny" @click="$emit('suggest', false)">{{ labels.cancel }}</button></div>
    <composer-prompts v-if="looking" :found="promptsFound" :marked="marked" :labels="labels" @take="takePrompt" @book="openBook"></composer-prompts>
    <div v-if="beside" class="composer-beside"><i class="icon small icon-columns" aria-hidden="true"></i><span class="clip">{{ model }}</span><span class="faint">{{ labels.against }}</span><span class="select"><select class="field" v-model="beside" :aria-label="labels.compare"><option v-for="each in others" :key="each.name" :value="each.name">{{ each.name }}</option></select><i class="icon icon-down" aria-hidden="true"></i></span>
      <span class="grow"></span><button type="button" class="btn square ghost" :aria-label="labels.no_compare" :title="labels.no_compare" @click="beside = ''"><i class="icon small icon-close"></i></button></div>
    <composer-attached v-if="files.length" :files="files" :labels="labels" :amount="amount" @remove="detach"></composer-attached>
    <p v-if="said" class="composer-notice" :class="{ bad: wrong }" role="status"><i class="icon small" :class="wrong ? 'icon-warn' : 'icon-info'"></i><span>{{ said }}</span></p>
    <textarea ref="box" rows="1" :value="text" :aria-label="labels.message" :placeholder="touch ? labels.placeholder_touch : labels.placeholder"
      :aria-invalid="tooLong" enterkeyhint="send" :aria-controls="looking ? 'composer-prompts' : null" :aria-activedescendant="looking && promptsFound.length ? 'prompt-' + marked : null"
      @input="typed" @keydown="keyed" @keydown.enter="entered" @paste="pasted" @blur="looking = false"></textarea>
    <input ref="picker" type="file" multiple hidden :aria-label="labels.attach" @change="pickedFiles">
    <div class="composer-row">
      <button type="button" class="btn square ghost composer-more" :aria-label="labels.extras" :title="labels.extras" aria-haspopup="menu"><i class="icon icon-plus"></i>
        <q-menu anchor="top left" self="bottom left" :offset="[0, 6]"><div role="menu" class="composer-add" :aria-label="labels.extras">
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="$refs.picker.click()"><i class="icon small icon-clip" aria-hidden="true"></i><span class="grow">{{ labels.attach }}</span></button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup :disabled="!model || Boolean(state.suggesting)" @click="$emit('suggest', true, model, key)"><i class="icon small icon-spark" aria-hidden="true"></i><span class="grow">{{ labels.suggest }}</span></button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="lookUp"><i class="icon small icon-book" aria-hidden="true"></i><span class="grow">{{ labels.prompts }}</span><kbd>/</kbd></button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup :disabled="state.models.length < 2" @click="compare"><i class="icon small icon-columns" aria-hidden="true"></i><span class="grow">{{ labels.compare }}</span></button>
          <button type="button" role="menuitem" class="menu-item" v-close-popup @click="$emit('options')"><i class="icon small icon-sliders" aria-hidden="true"></i><span class="grow">{{ labels.options }}</span></button>
        </div></q-menu></button>
      <button type="button" class="btn composer-model" :class="{ missing: !listed }" aria-haspopup="menu"><span class="sr">{{ labels.model + colon }}</span>
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
      <button v-if="state.alive && writes" type="button" class="btn square composer-stop" :disabled="state.alive === 'stopping'" :aria-label="labels.stop" :title="labels.stop" @click="$emit('stop')"><i class="icon small icon-stop"></i></button>
      <button type="submit" class="btn composer-send" :class="{ primary: !stops }" :disabled="stops && state.alive === 'stopping'" :aria-disabled="!stops && !ready" :title="why">
        <i class="icon small" :class="stops ? 'icon-stop' : 'icon-send'"></i><span>{{ stops ? (state.alive === "stopping" ? labels.stopping : labels.stop) : state.alive ? labels.send_next : labels.send }}</span></button>
    </div>
  </form>`,
  created() {
    this.levels = LEVELS;
    this.recall();
  },
  mounted() {
    this.fit();
    if (!this.touch) this.focus();
    addEventListener("corral-compose", this.wished);
    let width = 0; // the panes beside it settle only after the window's own resize event
    this.resizes = new ResizeObserver(([entry]) => {
      const room = innerHeight - this.$el.getBoundingClientRect().top; // toasts keep above it
      document.documentElement.style.setProperty("--write", Math.round(room) + 8 + "px");
      if (entry.contentRect.width === width) return;
      width = entry.contentRect.width;
      requestAnimationFrame(this.fit);
    });
    this.resizes.observe(this.$el);
    addEventListener("resize", this.fit); // the limit follows the window's height
    this.place = this.$el.closest(".pane-middle") ?? this.$el; // files are dropped anywhere on the conversation
    for (const [name, call] of Object.entries(this.drops())) this.place.addEventListener(name, call);
  },
  beforeUnmount() {
    this.resizes.disconnect();
    document.documentElement.style.removeProperty("--write");
    removeEventListener("resize", this.fit);
    removeEventListener("corral-compose", this.wished);
    for (const [name, call] of Object.entries(this.drops())) this.place.removeEventListener(name, call);
    for (const { url } of this.files) if (url) URL.revokeObjectURL(url);
  },
  watch: {
    state(now, before) {
      if (now.conversation !== this.key && !this.pending) this.turn(now.conversation);
      else if (now.models !== before.models || now.model !== before.model) this.settle();
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
    writes() {
      return Boolean(this.text.trim()) || this.files.length > 0;
    },
    // what the large button does: while an answer is made and nothing is written, it stops that
    stops() {
      return Boolean(this.state.alive) && !this.writes;
    },
    bringing() {
      return this.files.some((file) => !file.id);
    },
    ready() {
      return this.writes && !this.tooLong && !this.why && !this.pending && !this.bringing;
    },
    others() {
      return this.state.models.filter((each) => each.name !== this.model);
    },
    promptsFound() {
      const wanted = this.asked.trim().toLowerCase();
      return this.state.prompts.filter((each) => (each.name + "\n" + each.text).toLowerCase().includes(wanted)).slice(0, 40);
    },
    suggestingSaid() {
      const { ahead } = this.state.suggesting;
      return ahead > 0 ? this.labels.suggesting_waits.replace("{n}", new Intl.NumberFormat(this.lang).format(ahead)) : this.labels.suggesting;
    },
    // pictures that the picked model cannot see
    blind() {
      const known = this.state.models.find((each) => each.name === this.model);
      return known?.sees === false && this.files.some((file) => file.picture);
    },
    why() {
      if (this.state.blocked) return this.labels[this.state.blocked];
      if (this.state.choose) return this.labels.choose;
      if (this.beside && this.state.alive) return this.labels.busy;
      return this.model ? "" : this.labels.no_model_why;
    },
    wrong() {
      return !this.over && (this.tooLong || this.refusal);
    },
    said() {
      if (this.over) return this.labels.drop;
      if (this.tooLong)
        return this.labels.too_long.replace("{size}", this.amount(this.bytes)).replace("{limit}", this.amount(this.state.limit));
      if (this.notice) return this.notice;
      if (this.blind) return this.labels.blind.replace("{model}", () => this.model);
      if (!this.text.trim()) return "";
      return this.why || (this.listed || this.state.alive ? "" : this.labels.not_there.replace("{model}", () => this.model));
    },
  },
  methods: {
    // called from the server
    accepted(nonce, conversation) {
      if (this.pending?.nonce !== nonce) return;
      const { key, text } = this.pending;
      this.pending = null;
      this.files = this.files.filter((file) => !this.sent.has(file.key));
      this.beside = "";
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
      this.selectGap(gapIn(text));
    },
    // a question that was asked for: it does not take the place of what was written meanwhile
    offer(text) {
      if (this.text.trim()) this.notice = text;
      else this.fill(text);
    },
    // a message that waited was sent before its new words were kept
    late(text, conversation) {
      if (conversation === this.state.conversation) this.offer(text);
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
      this.look();
      this.save();
      this.fit();
    },
    entered(event) {
      if (event.shiftKey || event.isComposing || event.keyCode === 229) return; // Enter picks a word while composing
      event.preventDefault();
      if (this.looking && this.promptsFound.length) this.takePrompt(this.promptsFound[this.marked]);
      else if (!this.looking) this.send();
    },
    press() {
      if (this.stops) this.$emit("stop");
      else this.send();
    },
    send() {
      if (!this.writes || this.tooLong || this.pending) return this.focus();
      if (this.bringing) {
        this.notice = this.labels.bringing;
        return;
      }
      if (this.why) {
        this.notice = this.why;
        return;
      }
      if (this.text.isWellFormed && !this.text.isWellFormed()) this.put(this.text.toWellFormed()); // half a pair of surrogates would never arrive
      this.pending = { nonce: Math.random().toString(36).slice(2), key: this.key, text: this.text };
      keep("sending", { ...this.pending });
      const { nonce, key, text } = this.pending;
      for (const part of parts(text)) this.$emit("part", nonce, part);
      this.sent = new Set(this.files.map((file) => file.key));
      this.$emit("send", { nonce, key, model: this.model, priority: this.priority, files: this.files.map((file) => file.id), beside: this.beside });
    },
    put(text) {
      this.text = text;
      this.save();
      this.$nextTick(this.fit);
    },
    fit() {
      const box = this.$refs.box;
      if (!box) return;
      const most = innerHeight * 0.4;
      box.style.height = "auto";
      const wanted = this.text.length > TALL ? Infinity : box.scrollHeight; // measuring a very long text takes seconds
      box.style.height = Math.min(wanted, most) + "px";
      box.style.overflowY = wanted > most ? "auto" : "hidden";
    },

    // what is attached
    pickedFiles(event) {
      this.attach([...event.target.files]);
      event.target.value = "";
    },
    pasted(event) {
      const found = [...(event.clipboardData?.files ?? [])];
      if (!found.length) return;
      event.preventDefault();
      this.attach(found);
    },
    drops() {
      this.dropping ??= {
        dragover: (event) => {
          if (!event.dataTransfer?.types.includes("Files")) return;
          event.preventDefault();
          this.over = true;
        },
        dragleave: (event) => {
          if (!this.place.contains(event.relatedTarget)) this.over = false;
        },
        drop: (event) => {
          this.over = false;
          if (!event.dataTransfer?.files.length) return;
          event.preventDefault();
          this.attach([...event.dataTransfer.files]);
        },
      };
      return this.dropping;
    },
    attach(found) {
      this.notice = "";
      for (const file of found) {
        if (this.files.length >= MOST_FILES) {
          this.complain({ code: "too_many", limit: MOST_FILES });
          break;
        }
        this.bringUp(file);
      }
      this.focus();
    },
    async bringUp(file) {
      const picture = file.type.startsWith("image/");
      const entry = { key: Math.random().toString(36).slice(2), name: file.name || this.labels.pasted, picture, size: file.size, url: picture ? URL.createObjectURL(file) : "", id: "" };
      this.files.push(entry);
      const of = this.key;
      try {
        const told = await bring(file);
        if (entry.url) URL.revokeObjectURL(entry.url);
        const kept = this.files.find((each) => each.key === entry.key);
        if (kept) Object.assign(kept, told, { url: "", name: entry.name });
      } catch (refusal) {
        this.detach(entry.key);
        if (of === this.key) this.complain(refusal, entry.name);
      }
      this.save();
    },
    detach(key) {
      this.files = this.files.filter((file) => file.key !== key);
      this.save();
      this.focus();
    },
    complain({ code, limit }, name = "") {
      const text = (this.labels[code] ?? this.labels.file_lost).replace("{name}", () => name).replace("{limit}", code === "too_many" ? limit : this.amount(limit ?? 0));
      this.notice = [this.refusal && this.notice, text].filter(Boolean).join(this.lang.startsWith("zh") ? "" : " "); // several may have been attached at once
      this.refusal = true;
    },

    // prompts
    look() {
      const box = this.$refs.box;
      const asked = /^\/([^\n/]{0,40})$/.exec(this.text);
      this.looking = Boolean(asked) && box.selectionEnd === this.text.length;
      this.asked = asked?.[1] ?? "";
      this.marked = 0;
    },
    lookUp() {
      if (!this.text.trim()) this.put("/");
      this.focus();
      this.asked = "";
      this.marked = 0;
      setTimeout(() => {
        this.focus();
        this.looking = true;
      });
    },
    keyed(event) {
      if (event.isComposing) return;
      if (this.looking) {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") this.looking = false;
        else if (step && this.promptsFound.length) {
          event.preventDefault();
          this.marked = (this.marked + step + this.promptsFound.length) % this.promptsFound.length;
          this.$nextTick(() => document.getElementById("prompt-" + this.marked)?.scrollIntoView({ block: "nearest" }));
        } else if (event.key === "Tab" && this.promptsFound.length) {
          event.preventDefault();
          this.takePrompt(this.promptsFound[this.marked]);
        }
        return;
      }
      if (event.key !== "Tab" || event.altKey || event.ctrlKey || event.metaKey || !this.text.includes("{{")) return;
      const gap = nextGap(this.text, this.$refs.box[event.shiftKey ? "selectionStart" : "selectionEnd"], event.shiftKey);
      if (!gap) return;
      event.preventDefault();
      this.selectGap(gap);
    },
    takePrompt({ text }) {
      this.looking = false;
      const kept = /^\//.test(this.text) ? "" : this.text;
      this.put(kept ? kept.trimEnd() + "\n\n" + text : text);
      this.focus();
      this.$nextTick(() => this.selectGap(gapIn(this.text)));
    },
    selectGap(gap) {
      if (gap) this.$nextTick(() => this.$refs.box?.setSelectionRange(...gap));
    },
    openBook() {
      this.looking = false;
      if (this.text === "/") this.put("");
      this.$emit("book");
    },
    compare() {
      this.beside = this.others[0]?.name ?? "";
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
      this.files = draft.files ?? [];
      this.beside = "";
      this.looking = false;
      if (sent && this.state.accepted.includes(sent.nonce)) {
        // the page was left between the sending and the answer
        if (sent.key === this.key && this.text === sent.text) {
          this.files = [];
          this.put("");
        }
        forget("sending");
      }
      const last = { ...read(localStorage, PICKS), ...defaults() };
      this.picked = Boolean(draft.model);
      this.wanted = draft.model || this.state.model || last.model || "";
      this.priority = draft.priority ?? (this.state.priority || last.priority || 5);
      if (!LEVELS.some(([value]) => value === this.priority)) this.priority = 5;
      this.settle(last.model);
    },
    settle(last = defaults().model ?? read(localStorage, PICKS)?.model) {
      const names = this.state.models.map((each) => each.name);
      const wanted = this.wanted || this.state.model;
      const instead = names.includes(last) ? last : names[0];
      // the demo never takes the place of a real model that was picked: that would be another answer than was asked for
      this.model = !names.length || names.includes(wanted) || (wanted && this.isDemo(instead)) ? wanted : instead;
    },
    save() {
      const own = this.picked ? { model: this.model, priority: this.priority } : {};
      const files = this.files.filter((file) => file.id).map((file) => ({ ...file, url: "" }));
      if (this.text || this.picked || files.length) keep(this.key, { text: this.text, ...own, ...(files.length && { files }) });
      else forget(this.key);
    },
    // from the palette: a new conversation, with this model
    wished({ detail }) {
      if (!this.key && detail.model) this.choose(detail.model);
    },
    choose(name) {
      if (name === this.beside) this.beside = this.model === name ? "" : this.model;
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
      if (!this.$refs.menu) return;
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
      this.$nextTick(() => this.$el.querySelector('[role="radio"][aria-checked="true"]')?.focus());
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
