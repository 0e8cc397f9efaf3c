// The list of conversations. Rows come one by one and are kept here; grouping and times follow the browser's clock.
import { markRaw } from "vue"; // rows are replaced, never changed: watching each of a thousand costs for nothing

const DAY = 86_400_000;
const UNDO_MS = 8000;
const PAGE = 100; // rows that are drawn at first, and more whenever the end comes near

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["new", "rename", "delete", "undelete", "gap"],
  data() {
    return { rows: {}, active: "", version: 0, found: "", editing: "", title: "", now: Date.now(), drawn: PAGE };
  },
  template: `
  <nav class="convs" :aria-label="labels.conversations">
    <header class="convs-bar"><h2>{{ labels.conversations }}</h2>
      <a class="btn" href="/chat" :aria-label="labels.create_long" @click="$emit('new')"><i class="icon icon-plus small"></i>{{ labels.create }}</a></header>
    <label v-if="count" class="field convs-filter"><i class="icon icon-search small"></i>
      <input type="search" v-model="found" :placeholder="labels.filter" :aria-label="labels.filter" @keydown.esc="found = ''" @keydown.down.prevent="enter">
      <button v-if="found" type="button" class="convs-clear" :aria-label="labels.clear" @click="found = ''"><i class="icon icon-close"></i></button></label>
    <div ref="scroll" class="convs-scroll" @scroll.passive="scrolled" @keydown.down.prevent="move(1)" @keydown.up.prevent="move(-1)">
      <section v-for="group in groups" :key="group.name" :aria-label="labels[group.name]">
        <h3 class="convs-day">{{ labels[group.name] }}</h3>
        <ul>
          <li v-for="id in group.ids" :key="id" v-memo="[rows[id], active === id, editing === id, when(id), labels]" class="conv" :class="{ on: active === id, editing: editing === id }" :data-conversation="id">
            <form v-if="editing === id" @submit.prevent="rename"><input class="field" :aria-label="labels.title" :value="title" maxlength="200" @input="title = $event.target.value"
              @keydown.enter="keyed" @keydown.esc.stop="cancel(id)" @blur="rename" @vue:mounted="({ el }) => el.select()"></form>
            <template v-else>
              <a :href="'/chat/' + id" :aria-current="active === id ? 'page' : null" :title="rows[id].title" @dblclick.prevent="edit(id)" @keydown.f2.prevent="edit(id)" @keydown.delete.prevent="remove(id)">
                <i v-if="rows[id].state" class="dot" :class="rows[id].state === 'running' ? 'run live' : 'held'"></i>
                <span class="clip grow">{{ rows[id].title }}</span>
                <small>{{ when(id) }}</small></a>
              <span class="conv-acts">
                <button type="button" class="btn square ghost" :aria-label="labels.rename + colon + rows[id].title" :title="labels.rename" @click="edit(id)"><i class="icon small icon-pencil"></i></button>
                <button type="button" class="btn square ghost" :aria-label="labels.remove + colon + rows[id].title" :title="labels.remove" @click="remove(id)"><i class="icon small icon-trash"></i></button>
              </span>
            </template>
          </li>
        </ul>
      </section>
      <p v-if="!count" class="convs-none">{{ labels.empty }}</p>
      <p v-else-if="!groups.length" class="convs-none">{{ labels.none.replace("{text}", found) }}</p>
    </div>
  </nav>`,
  created() {
    this.take(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || (this.now = Date.now()), 20_000);
    this.reveal();
  },
  beforeUnmount() {
    clearInterval(this.timer);
    this.undo?.(); // closes the offer: nobody is here to take it
  },
  watch: {
    state(state) {
      this.take(state);
    },
    active() {
      this.reveal();
    },
    found() {
      this.drawn = PAGE;
    },
  },
  computed: {
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
    count() {
      return Object.keys(this.rows).length;
    },
    // ids, newest first
    matching() {
      const wanted = this.found.trim().toLocaleLowerCase();
      const rows = this.rows;
      const ids = Object.keys(rows).filter((id) => rows[id].title.toLocaleLowerCase().includes(wanted));
      return ids.sort((a, b) => rows[b].at - rows[a].at);
    },
    groups() {
      const groups = [];
      for (const id of this.matching.slice(0, this.drawn)) {
        const name = groupOf(this.rows[id].at * 1000, this.now);
        if (groups.at(-1)?.name !== name) groups.push({ name, ids: [] });
        groups.at(-1).ids.push(id);
      }
      return groups;
    },
  },
  methods: {
    take({ rows, active, version }) {
      Object.assign(this, { rows: markRaw({ ...rows }), active, version });
    },
    // a patch says which version it makes; one that does not fit was missed, and the whole is asked for
    patch({ rows, active, version }) {
      if (version <= this.version) return;
      if (version !== this.version + 1) return this.$emit("gap");
      this.version = version;
      this.now = Date.now();
      if (active !== undefined) this.active = active;
      if (!rows) return;
      const kept = { ...this.rows, ...rows };
      for (const id in rows) if (!rows[id]) delete kept[id];
      this.rows = markRaw(kept);
    },
    when(id) {
      const row = this.rows[id];
      if (row.state) return this.labels[row.state];
      return shortTime(row.at * 1000, this.now, this.lang, this.labels);
    },
    reveal() {
      this.drawn = Math.max(this.drawn, this.matching.indexOf(this.active) + PAGE / 2);
      this.$nextTick(() => this.$el.querySelector(".conv.on")?.scrollIntoView({ block: "nearest" }));
    },
    scrolled({ target }) {
      const left = target.scrollHeight - target.scrollTop - target.clientHeight;
      if (left < 1000 && this.drawn < this.matching.length) this.drawn += PAGE;
    },

    edit(id) {
      this.title = this.rows[id].title;
      this.editing = id;
    },
    keyed(event) {
      if (event.isComposing || event.keyCode === 229) event.preventDefault(); // Enter picks a word
    },
    rename() {
      const [id, title] = [this.editing, this.title.trim()];
      if (!id) return;
      this.cancel(id);
      if (!title || title === this.rows[id]?.title) return;
      this.rows = markRaw({ ...this.rows, [id]: { ...this.rows[id], title } });
      this.$emit("rename", id, title);
    },
    cancel(id) {
      this.editing = "";
      this.$nextTick(() => this.$el.querySelector(`[data-conversation="${id}"] a`)?.focus());
    },
    remove(id) {
      const { title } = this.rows[id];
      const next = this.$el.querySelector(`[data-conversation="${id}"] + .conv a`) ?? this.$el.querySelector(".convs-bar a");
      const { [id]: gone, ...rest } = this.rows;
      this.rows = markRaw(rest);
      next?.focus();
      this.$emit("delete", id);
      this.undo?.();
      this.undo = this.$q.notify({
        message: this.labels.deleted.replace("{title}", title.length > 40 ? title.slice(0, 39) + "…" : title),
        position: innerWidth < 640 ? "top" : "bottom-left", // not over the place to write
        timeout: UNDO_MS,
        classes: "toast undo",
        actions: [{ label: this.labels.undo, noCaps: true, flat: true, handler: () => this.$emit("undelete", id) }],
      });
    },

    enter() {
      this.$refs.scroll.querySelector(".conv a")?.focus();
    },
    move(step) {
      const links = [...this.$refs.scroll.querySelectorAll(".conv a")];
      links[links.indexOf(document.activeElement?.closest(".conv")?.querySelector("a")) + step]?.focus();
    },
  },
};

// Which group a time belongs to, by local days: today, yesterday, week (the six days before) or earlier.
export function groupOf(at, now) {
  const days = Math.round((midnight(now) - midnight(at)) / DAY); // rounded: a day may have 23 or 25 hours
  return days <= 0 ? "today" : days === 1 ? "yesterday" : days < 7 ? "week" : "earlier";
}

// A time in a few characters: now, 5 min, 14:05, Sat, Nov 3, 2025/11.
export function shortTime(at, now, lang, labels) {
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 1) return labels.now;
  if (minutes < 60) return labels.minutes.replace("{n}", minutes);
  const group = groupOf(at, now);
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return formatter(lang, group === "week" ? "weekday" : group !== "earlier" ? "clock" : sameYear ? "day" : "month").format(at);
}

const FORMATS = {
  clock: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  weekday: { weekday: "short" },
  day: { month: "short", day: "numeric" },
  month: { year: "numeric", month: "numeric" },
};
const made = {}; // making one takes longer than a thousand uses

function formatter(lang, format) {
  return (made[lang + format] ??= new Intl.DateTimeFormat(lang, FORMATS[format]));
}

function midnight(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}
