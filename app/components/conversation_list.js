// The list of conversations: only the rows in sight are drawn, and only those around them are here. Sections and times
// follow the browser's clock; the server is told when its days began, and sends the sizes of the sections.
import { markRaw } from "vue"; // rows are replaced, never changed: watching each of them costs for nothing

const DAY = 86_400_000;
const UNDO_MS = 8000;
const PROGRESS_MS = 700; // between two looks at how far an import is
const HEAD_PX = 30; // of a section's title; the style sheet says the same
const SPARE = 8; // rows that are drawn above and below
const AHEAD = 60; // rows that are fetched above and below
const TYPING_MS = 140;
const DRAGGED = "application/x-corral-conversation";
const IMPORT = "/shelf/import";
const FINE = matchMedia("(hover: hover)");

export default {
  props: { state: Object, labels: Object, lang: String },
  emits: ["new", "rename", "delete", "undelete", "look", "search", "place", "folder", "gap"],
  data() {
    return {
      view: markRaw(this.state), now: Date.now(), from: 0, to: 40, focused: -1, rowPx: FINE.matches ? 36 : 44,
      editing: "", title: "", text: "", found: null, searching: false, menu: { id: "", open: false, moving: false }, over: null, busy: false,
    }; // prettier-ignore
  },
  template: `
  <nav class="convs" :aria-label="labels.conversations">
    <header class="convs-bar">
      <button v-if="view.scope" type="button" class="btn square ghost" :aria-label="labels.all" :data-tip="labels.all" @click="go('')"><i class="icon icon-left"></i></button>
      <h2 class="clip" :title="heading">{{ heading }}</h2>
      <button type="button" class="btn square ghost convs-more" :aria-label="labels.more" aria-haspopup="menu" @click="openMenu('list', $event)"><i class="icon icon-more"></i></button>
      <a class="btn" href="/chat" :aria-label="labels.create_long" @click="$emit('new')"><i class="icon icon-plus small"></i>{{ labels.create }}</a></header>
    <label v-if="any" class="field convs-filter"><i class="icon icon-search small"></i>
      <input ref="search" type="search" v-model="text" :placeholder="labels.search" :aria-label="labels.search" maxlength="200" @keydown.esc.stop="clear" @keydown.down.prevent="enter" @keydown.enter.prevent="openFirst">
      <button v-if="text" type="button" class="convs-clear" :aria-label="labels.clear" @click="clear"><i class="icon icon-close"></i></button></label>

    <div v-if="wanted" class="convs-scroll" :aria-busy="searching" @keydown.down.prevent="step(1)" @keydown.up.prevent="step(-1)">
      <p class="sr" role="status">{{ searching ? labels.searching : "" }}</p>
      <div v-if="!found" class="convs-wait" aria-hidden="true"><i v-for="n in 4" class="skeleton"></i></div>
      <ul v-else-if="found.found.length" class="founds">
        <li v-for="each in found.found" :key="each.id" class="found" :class="{ on: view.active === each.id }">
          <a class="found-title" :href="'/chat/' + each.id"><span class="clip grow"><template v-for="[part, hit] in each.title"><mark v-if="hit">{{ part }}</mark><template v-else>{{ part }}</template></template></span>
            <small v-if="each.folder || each.archived" class="found-place clip">{{ each.archived ? labels.archived : each.folder }}</small><small>{{ time(each.at) }}</small></a>
          <a v-for="hit in each.hits" :key="hit.id" class="found-hit" :href="'/chat/' + each.id + '#m-' + hit.id" @click="reveal(hit.id)"><small>{{ hit.role === "user" ? labels.you : labels.answer }}</small>
            <span><template v-for="[part, there] in hit.text"><mark v-if="there">{{ part }}</mark><template v-else>{{ part }}</template></template></span></a>
        </li>
      </ul>
      <button v-if="found?.more" type="button" class="btn ghost founds-more" @click="ask(found.limit * 2)">{{ labels.show_more }}</button>
      <p v-if="found && !found.found.length && !searching" class="convs-none">{{ labels.none.replace("{text}", () => found.text) }}</p>
    </div>

    <div v-else ref="scroll" class="convs-scroll" @scroll.passive="measure" @keydown="keyed">
      <section v-if="!view.scope && (view.folders.length || editing === 'folder:new')" class="folders" :aria-label="labels.folders">
        <ul>
          <li v-for="folder in view.folders" :key="folder.id" class="folder" :class="{ over: over === folder.id, on: view.home === folder.id }" :data-folder="folder.id" @dragover="dragOver($event, folder.id)" @dragleave="over = null" @drop="drop($event, folder.id)" @contextmenu.prevent="openMenu(folder.id, $event)">
            <form v-if="editing === 'folder:' + folder.id" @submit.prevent="nameFolder"><input class="field" :aria-label="labels.folder_name" v-model="title" maxlength="80" @keydown.enter="composed" @keydown.esc.stop="stopEditing" @blur="nameFolder" @vue:mounted="({ el }) => el.select()"></form>
            <template v-else><button type="button" class="folder-name" @click="go(folder.id)" @keydown.f2.prevent="editFolder(folder)" @keydown.delete.prevent="removeFolder(folder)"><i class="icon icon-folder small"></i><span class="clip grow">{{ folder.name }}</span><small>{{ number(folder.count) }}</small></button>
              <span class="conv-acts"><button type="button" class="btn square ghost" :aria-label="labels.more + colon + folder.name" aria-haspopup="menu" @click="openMenu(folder.id, $event)"><i class="icon small icon-more"></i></button></span></template>
          </li>
          <li v-if="editing === 'folder:new'" class="folder"><form @submit.prevent="nameFolder"><input class="field" :aria-label="labels.folder_name" :placeholder="labels.folder_name" v-model="title" maxlength="80" @keydown.enter="composed" @keydown.esc.stop="stopEditing" @blur="nameFolder" @vue:mounted="({ el }) => el.focus()"></form></li>
        </ul>
      </section>
      <div ref="rows" class="convs-rows" @dragover="view.scope && view.scope !== 'archive' || dragOver($event, '')" @drop="drop($event, '')">
        <section v-for="block in blocks" :key="block.name" :aria-label="labels[block.name]">
          <h3 class="convs-day">{{ labels[block.name] }}</h3>
          <ul :style="{ height: block.size * rowPx + 'px' }">
            <li v-for="{ at, row, key } in block.drawn" :key="key" class="conv" :class="{ on: row && view.active === row.id, editing: row && editing === row.id }" :style="{ top: (at - block.first) * rowPx + 'px', height: rowPx + 'px' }" :data-conversation="row?.id" :data-at="at" :aria-setsize="view.total" :aria-posinset="at + 1"
              :draggable="FINE.matches && !!row && editing !== row.id" @dragstart="row && drag($event, row)" @dragend="over = null" @contextmenu="row && contextMenu($event, row)">
              <i v-if="!row" class="skeleton conv-wait" aria-hidden="true"></i>
              <form v-else-if="editing === row.id" @submit.prevent="rename"><input class="field" :aria-label="labels.title" v-model="title" maxlength="200" @keydown.enter="composed" @keydown.esc.stop="stopEditing" @blur="rename" @vue:mounted="({ el }) => el.select()"></form>
              <template v-else>
                <a :href="'/chat/' + row.id" draggable="false" :aria-current="view.active === row.id ? 'page' : null" :title="row.title" @focus="focused = at" @dblclick.prevent="edit(row)" @keydown.f2.prevent="edit(row)" @keydown.delete.prevent="remove(row)">
                  <i v-if="row.state" class="dot" :class="row.state === 'running' ? 'run live' : 'held'"></i>
                  <span class="clip grow">{{ row.title }}</span>
                  <small v-if="row.pinned && row.folder && !view.scope" class="conv-home clip">{{ folderName(row.folder) }}</small><small>{{ when(row) }}</small></a>
                <span class="conv-acts">
                  <button type="button" class="btn square ghost conv-pin" :class="{ pinned: row.pinned }" :aria-label="(row.pinned ? labels.unpin : labels.pin) + colon + row.title" :title="row.pinned ? labels.unpin : labels.pin" @click="pin(row)"><i class="icon small icon-pin"></i></button>
                  <button type="button" class="btn square ghost" :aria-label="labels.more + colon + row.title" :title="labels.more" aria-haspopup="menu" @click="openMenu(row.id, $event)"><i class="icon small icon-more"></i></button>
                </span>
              </template>
            </li>
          </ul>
        </section>
      </div>
      <p v-if="nothing" class="convs-none">{{ nothing }}</p>
      <button v-if="!view.scope && view.archived" type="button" class="convs-archive" @click="go('archive')"><i class="icon icon-archive small"></i><span class="grow">{{ labels.archive }}</span><small>{{ number(view.archived) }}</small></button>
    </div>

    <q-menu ref="menu" v-model="menu.open" :target="menu.target" no-parent-event anchor="bottom right" self="top right" :offset="[0, 4]" @hide="closed">
      <div role="menu" class="convs-menu" :aria-label="labels.more">
        <template v-if="menu.moving">
          <button type="button" role="menuitem" class="menu-item" @click="menu.moving = false"><i class="icon icon-left small"></i>{{ labels.back }}</button>
          <button v-if="picked?.folder" type="button" role="menuitem" class="menu-item" @click="put('move', picked, '')"><i class="icon icon-close small"></i>{{ labels.no_folder }}</button>
          <button v-for="folder in view.folders" :key="folder.id" type="button" role="menuitemradio" class="menu-item" :aria-checked="picked?.folder === folder.id" @click="put('move', picked, folder.id)"><i class="icon icon-folder small"></i><span class="clip">{{ folder.name }}</span></button>
          <button type="button" role="menuitem" class="menu-item" @click="addFolder(picked.id)"><i class="icon icon-plus small"></i>{{ labels.new_folder }}</button>
        </template>
        <template v-else-if="menu.id === 'list'">
          <button type="button" role="menuitem" class="menu-item" @click="addFolder('')"><i class="icon icon-folder small"></i>{{ labels.new_folder }}</button>
          <button type="button" role="menuitem" class="menu-item" @click="go('archive')"><i class="icon icon-archive small"></i>{{ labels.archive }}</button>
          <div class="menu-line" role="separator"></div>
          <button type="button" role="menuitem" class="menu-item" @click="bring"><i class="icon icon-upload small"></i>{{ labels.bring }}</button>
          <template v-if="any">
            <a role="menuitem" class="menu-item" href="/shelf/conversations.json" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_all_json }}</a>
            <a role="menuitem" class="menu-item" href="/shelf/conversations.zip" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_all_markdown }}</a></template>
        </template>
        <template v-else-if="pickedFolder">
          <button type="button" role="menuitem" class="menu-item" @click="editFolder(pickedFolder)"><i class="icon icon-pencil small"></i>{{ labels.rename }}</button>
          <a role="menuitem" class="menu-item" :href="'/shelf/conversations.zip?folder=' + pickedFolder.id" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_markdown }}</a>
          <a role="menuitem" class="menu-item" :href="'/shelf/conversations.json?folder=' + pickedFolder.id" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_json }}</a>
          <div class="menu-line" role="separator"></div>
          <button type="button" role="menuitem" class="menu-item danger" @click="removeFolder(pickedFolder)"><i class="icon icon-trash small"></i>{{ labels.remove_folder }}</button>
        </template>
        <template v-else-if="picked">
          <button type="button" role="menuitem" class="menu-item" @click="pin(picked)"><i class="icon icon-pin small"></i>{{ picked.pinned ? labels.unpin : labels.pin }}</button>
          <button type="button" role="menuitem" class="menu-item" @click="edit(picked)"><i class="icon icon-pencil small"></i>{{ labels.rename }}</button>
          <button type="button" role="menuitem" class="menu-item" @click="moving"><i class="icon icon-folder small"></i>{{ labels.move }}</button>
          <button type="button" role="menuitem" class="menu-item" @click="archive(picked, view.scope !== 'archive')"><i class="icon icon-archive small"></i>{{ view.scope === "archive" ? labels.take_back : labels.put_away }}</button>
          <div class="menu-line" role="separator"></div>
          <a role="menuitem" class="menu-item" :href="'/shelf/' + picked.id + '.md'" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_markdown }}</a>
          <a role="menuitem" class="menu-item" :href="'/shelf/' + picked.id + '.json'" download @click="menu.open = false"><i class="icon icon-download small"></i>{{ labels.save_json }}</a>
          <div class="menu-line" role="separator"></div>
          <button type="button" role="menuitem" class="menu-item danger" @click="remove(picked)"><i class="icon icon-trash small"></i>{{ labels.remove }}</button>
        </template>
      </div>
    </q-menu>
    <input ref="file" type="file" accept=".json,application/json" hidden :aria-label="labels.bring" @change="imported">
  </nav>`,
  created() {
    this.FINE = FINE;
    this.sought = -1; // the row that gets the focus once it is here
    this.take(this.state);
  },
  mounted() {
    this.timer = setInterval(() => document.hidden || this.tick(), 20_000);
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.$el);
    this.look(this.view.scope, 0, true); // the browser's own days may be others than the server's
    this.showActive();
  },
  beforeUnmount() {
    clearInterval(this.timer);
    clearTimeout(this.typing);
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.undo?.(); // closes the offer: nobody is here to take it
  },
  watch: {
    state(state) {
      this.take(state);
      this.measure();
    },
    text(text) {
      clearTimeout(this.typing);
      if (!text.trim()) return this.forget();
      this.typing = setTimeout(() => this.ask(), TYPING_MS);
    },
  },
  computed: {
    colon() {
      return this.lang.startsWith("zh") ? "：" : ": ";
    },
    heading() {
      const { scope, name } = this.view;
      return scope === "archive" ? this.labels.archive : scope ? name : this.labels.conversations;
    },
    wanted() {
      return this.text.trim();
    },
    any() {
      return this.view.total || this.view.archived || this.view.folders.some(({ count }) => count) || this.view.scope;
    },
    nothing() {
      const { scope, total } = this.view;
      if (total || (!scope && this.any)) return "";
      return !scope ? this.labels.empty : scope === "archive" ? this.labels.empty_archive : this.labels.empty_folder;
    },
    // the sections, and of each the rows that are drawn
    blocks() {
      const { view, from, to, focused, rowPx } = this;
      let first = 0;
      let top = 0;
      return view.sections.map(([name, size]) => {
        const block = { name, size, first, top, drawn: [] };
        for (let at = Math.max(first, from); at < Math.min(first + size, to); at++) block.drawn.push(this.drawn(at));
        const kept = focused >= first && focused < first + size && (focused < from || focused >= to); // it has the focus
        if (kept) block.drawn[focused < from ? "unshift" : "push"](this.drawn(focused));
        first += size;
        top += HEAD_PX + size * rowPx;
        return block;
      });
    },
    picked() {
      return this.view.rows.find(({ id }) => id === this.menu.id);
    },
    pickedFolder() {
      return this.view.folders.find(({ id }) => id === this.menu.id);
    },
  },
  methods: {
    // what the server says

    take(state) {
      this.version = state.version;
      this.view = markRaw({ ...state });
    },
    // a patch says which version it makes; one that does not fit was missed, and the whole is asked for
    patch({ version, changed, ...fields }) {
      if (version <= this.version) return;
      if (version !== this.version + 1) return this.$emit("gap");
      this.version = version;
      const before = this.view;
      const news = Object.fromEntries((changed ?? []).map((row) => [row.id, row]));
      const rows = fields.rows ?? (changed ? before.rows.map((row) => news[row.id] ?? row) : before.rows);
      this.view = markRaw({ ...before, ...fields, rows });
      this.now = Date.now();
      if (before.scope !== this.view.scope) {
        this.focused = -1;
        this.$refs.scroll?.scrollTo(0, 0);
      }
      if (fields.active) this.showActive();
      this.$nextTick(() => {
        this.measure();
        if (this.sought >= 0) this.reach();
      });
    },
    show(found) {
      if (found.text !== this.wanted) return;
      this.searching = false;
      this.found = markRaw(found);
    },

    // which rows are drawn and fetched

    measure() {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => {
        const { scroll, rows } = this.$refs;
        if (!scroll || !scroll.clientHeight) return;
        const top = scroll.scrollTop - rows.offsetTop;
        this.from = Math.max(0, this.index(top) - SPARE);
        this.to = Math.min(this.view.total, this.index(top + scroll.clientHeight) + 1 + SPARE);
        this.fetch();
      });
    },
    // the row at a height of the list
    index(top) {
      const block = this.blocks.findLast((each) => each.top <= top) ?? this.blocks[0];
      if (!block) return 0;
      return block.first + Math.max(0, Math.min(block.size - 1, Math.floor((top - block.top - HEAD_PX) / this.rowPx)));
    },
    fetch() {
      const { first, rows, scope } = this.view;
      if (this.from >= first && this.to <= first + rows.length) return (this.asked = "");
      this.look(scope, Math.max(0, this.from - AHEAD), false, this.to - this.from + 2 * AHEAD);
    },
    look(scope, first, always, count = 2 * AHEAD) {
      const days = [0, 1, 6].map((ago) => dayBefore(ago) / 1000);
      const key = JSON.stringify([scope, first, count, days, this.view.total]);
      if (key === this.asked && !always) return;
      this.asked = key;
      this.$emit("look", { scope, first, count, days });
    },
    tick() {
      const before = midnight(this.now);
      this.now = Date.now();
      if (midnight(this.now) !== before) this.look(this.view.scope, this.view.first, true, this.view.rows.length);
    },
    drawn(at) {
      const row = this.view.rows[at - this.view.first];
      return { at, row, key: row?.id ?? at };
    },
    // the open conversation is brought into sight, where this list has it
    showActive() {
      this.$nextTick(() => this.view.at >= 0 && this.bringIntoSight(this.view.at));
    },
    bringIntoSight(at) {
      const { scroll, rows } = this.$refs;
      const block = this.blocks.find((each) => at >= each.first && at < each.first + each.size);
      if (!scroll || !block) return;
      const top = rows.offsetTop + block.top + HEAD_PX + (at - block.first) * this.rowPx;
      if (top < scroll.scrollTop + HEAD_PX) scroll.scrollTop = top - HEAD_PX;
      else if (top + this.rowPx > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + this.rowPx - scroll.clientHeight + 8;
    },
    go(scope) {
      this.menu.open = false;
      this.clear();
      this.look(scope, 0, true);
      this.$nextTick(() => this.$el.querySelector(".convs-bar .btn")?.focus({ preventScroll: true }));
    },
    when(row) {
      return row.state ? this.labels[row.state] : this.time(row.at);
    },
    time(at) {
      return shortTime(at * 1000, this.now, this.lang, this.labels);
    },
    number(value) {
      return new Intl.NumberFormat(this.lang).format(value);
    },
    folderName(id) {
      return this.view.folders.find((each) => each.id === id)?.name ?? "";
    },

    // search

    ask(limit = 40) {
      this.searching = true;
      this.$emit("search", { text: this.wanted, limit });
    },
    forget() {
      this.found = null;
      this.searching = false;
      this.showActive();
      this.$nextTick(this.measure);
    },
    clear() {
      this.text = "";
    },
    openFirst(event) {
      if (!event.isComposing) this.$el.querySelector(".found a")?.click();
    },
    // the transcript goes there once it shows that message
    reveal(id) {
      dispatchEvent(new CustomEvent("corral-reveal", { detail: id }));
    },
    step(by) {
      const links = [...this.$el.querySelectorAll(".found a")];
      const at = links.indexOf(document.activeElement) + by;
      at < 0 ? this.$refs.search.focus() : links[at]?.focus();
    },

    // keys in the list

    enter() {
      if (this.wanted) return this.$el.querySelector(".found a")?.focus();
      const folder = this.$el.querySelector(".folder-name");
      folder ? folder.focus() : this.focus(Math.max(0, this.view.at));
    },
    keyed(event) {
      const page = Math.max(1, Math.floor(this.$refs.scroll.clientHeight / this.rowPx) - 1);
      const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
      if (!by || event.target.closest("input")) return;
      event.preventDefault();
      const at = Number(event.target.closest("[data-at]")?.dataset.at ?? -1);
      const folders = [...this.$el.querySelectorAll(".folder-name")];
      const folder = folders.indexOf(event.target);
      if (at < 0 && folders[folder + by]) return folders[folder + by].focus();
      if (at < 0) return folder >= 0 && by < 0 ? this.$refs.search.focus() : this.focus(0);
      if (at + by < 0 && by === -1) return (folders.at(-1) ?? this.$refs.search).focus();
      this.focus(Math.max(0, Math.min(this.view.total - 1, at + by)));
    },
    focus(at) {
      this.focused = this.sought = at;
      this.bringIntoSight(at);
      this.measure();
      this.$nextTick(this.reach);
    },
    // the row may still have to come
    reach() {
      const link = this.$el.querySelector('[data-at="' + this.sought + '"] a');
      if (link) this.sought = -1;
      link?.focus({ preventScroll: true });
    },

    // names

    edit(row) {
      this.menu.open = false;
      this.title = row.title;
      this.editing = row.id;
    },
    composed(event) {
      if (event.isComposing || event.keyCode === 229) event.preventDefault(); // Enter picks a word
    },
    rename() {
      const [id, title] = [this.editing, this.title.trim()];
      if (!id) return;
      this.stopEditing();
      const row = this.view.rows.find((each) => each.id === id);
      if (!title || !row || title === row.title) return;
      this.change(id, { title });
      this.$emit("rename", id, title);
    },
    stopEditing() {
      const id = this.editing;
      this.editing = "";
      this.$nextTick(() => (this.$el.querySelector('[data-conversation="' + id + '"] a') ?? this.$el.querySelector('[data-folder="' + id.slice(7) + '"] button'))?.focus());
    },
    // shown at once; what the server says about it comes after
    change(id, fields) {
      this.view = markRaw({ ...this.view, rows: this.view.rows.map((row) => (row.id === id ? { ...row, ...fields } : row)) });
    },

    // folders

    addFolder(conversation) {
      this.menu.open = false;
      this.joining = conversation;
      if (this.view.scope) this.go("");
      this.clear();
      this.title = "";
      this.editing = "folder:new";
      this.$nextTick(() => this.$refs.scroll?.scrollTo(0, 0));
    },
    editFolder({ id, name }) {
      this.menu.open = false;
      this.title = name;
      this.editing = "folder:" + id;
    },
    nameFolder() {
      if (!this.editing.startsWith("folder:")) return;
      const [id, name] = [this.editing.slice(7), this.title.trim()];
      this.stopEditing();
      if (name) id === "new" ? this.$emit("folder", "add", this.joining, name) : this.$emit("folder", "rename", id, name);
    },
    removeFolder({ id, name }) {
      this.menu.open = false;
      this.$emit("folder", "remove", id);
      this.offer(this.labels.folder_removed, name, () => this.$emit("folder", "restore", id));
    },

    // what one does with a conversation

    openMenu(id, event) {
      this.menu = { id, open: false, moving: false, target: event.currentTarget.closest("button") ?? event.currentTarget.querySelector(".conv-acts button:last-child") };
      this.$nextTick(() => (this.menu.open = true));
    },
    contextMenu(event, row) {
      event.preventDefault();
      this.openMenu(row.id, event);
    },
    closed() {
      const { target } = this.menu;
      if (!this.editing && target?.isConnected) target.focus({ preventScroll: true });
    },
    moving() {
      if (this.view.folders.length) this.menu.moving = true;
      else this.addFolder(this.picked.id);
    },
    put(what, row, value) {
      this.menu.open = false;
      this.$emit("place", what, row.id, value);
    },
    pin(row) {
      this.put("pin", row, !row.pinned);
    },
    archive(row, on) {
      const { id, title, pinned } = row; // to pin it again takes it back, too
      this.put("archive", row, on);
      if (on) this.offer(this.labels.was_archived, title, () => this.$emit("place", pinned ? "pin" : "archive", id, pinned));
    },
    remove({ id, title }) {
      this.menu.open = false;
      const at = this.view.rows.findIndex((each) => each.id === id) + this.view.first;
      this.$emit("delete", id);
      this.offer(this.labels.deleted, title, () => this.$emit("undelete", id));
      if (this.$el.contains(document.activeElement)) this.$nextTick(() => this.focus(Math.max(0, Math.min(at, this.view.total - 2))));
    },
    offer(text, title, handler) {
      this.undo?.();
      this.undo = this.$q.notify({
        message: text.replace("{title}", () => title.length > 40 ? title.slice(0, 39) + "…" : title),
        position: innerWidth < 640 ? "top" : "bottom", // above the place to write; on a phone the list covers that
        timeout: UNDO_MS,
        classes: "toast undo",
        actions: [{ label: this.labels.undo, noCaps: true, flat: true, handler }],
      });
    },
    drag(event, row) {
      event.dataTransfer.setData(DRAGGED, row.id);
      event.dataTransfer.effectAllowed = "move";
    },
    dragOver(event, folder) {
      if (!event.dataTransfer.types.includes(DRAGGED)) return;
      event.preventDefault();
      this.over = folder || null;
    },
    drop(event, folder) {
      const id = event.dataTransfer.getData(DRAGGED);
      this.over = null;
      if (!id) return;
      event.preventDefault();
      const row = this.view.rows.find((each) => each.id === id);
      if (row?.folder !== folder) this.$emit("place", "move", id, folder);
    },

    // what others have kept

    bring() {
      this.menu.open = false;
      this.$refs.file.value = "";
      this.$refs.file.click();
    },
    async imported() {
      const [file] = this.$refs.file?.files ?? []; // one may have left before the file was picked
      if (!file || this.busy) return;
      this.busy = true;
      const name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
      const told = this.$q.notify({ group: false, message: this.labels.importing, position: "bottom", timeout: 0, classes: "toast num" });
      const watch = setInterval(() => this.busy && this.tellProgress(name, told), PROGRESS_MS);
      const { message, bad } = await this.send(file, name);
      clearInterval(watch);
      told();
      this.busy = false;
      this.$q.notify({ message, position: "bottom", timeout: bad ? 8000 : 4000, classes: bad ? "toast-bad" : "toast" });
    },
    // how far a large file is
    async tellProgress(name, told) {
      const { what, share } = await fetch(`${IMPORT}/${name}`).then((answer) => answer.json()).catch(() => ({}));
      if (what && this.busy) told({ message: this.labels[what].replace("{n}", Math.floor(share * 100)) });
    },
    async send(file, name) {
      const say = (name, values = {}) => Object.entries(values).reduce((text, [key, value]) => text.replace(`{${key}}`, this.number(value)), this.labels[name]);
      try {
        const response = await fetch(`${IMPORT}?name=${name}`, { method: "POST", body: file, headers: { "content-type": "application/json" } });
        if (response.status === 413) return { message: say("import_too_large", { n: 64 }), bad: true };
        const told = await response.json();
        if (!response.ok) return { message: say(`import_${told.code}`) ?? this.labels.import_failed, bad: true };
        const parts = [["imported", told.done], ["import_known", told.known], ["import_skipped", told.broken]];
        const message = parts.filter(([name, n], at) => n || !at).map(([name, n]) => say(name, { n })).join(this.lang.startsWith("zh") ? "" : " ");
        return { message, bad: !told.done && !told.known };
      } catch {
        return { message: this.labels.import_failed, bad: true };
      }
    },
  },
};

// Which section a time belongs to, by local days: today, yesterday, week (the six days before) or earlier.
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

function dayBefore(days) {
  const now = new Date();
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime();
}

function midnight(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}
