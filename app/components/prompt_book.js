// The prompts that one can begin a message with: those built in, and one's own, which are written here.
export default {
  // state: {prompts: [{id, name, text}]}
  props: { state: Object, labels: Object, lang: String },
  emits: ["save", "delete"],
  data() {
    return { edited: null };
  },
  template: `
  <dialog ref="dialog" class="over prompt-book" :aria-label="labels.title" @click.self="$refs.dialog.close()" @cancel="back">
    <header class="dialog-head"><h2>{{ edited ? (edited.id ? labels.edit : labels.add) : labels.title }}</h2><button type="button" class="btn square ghost" :aria-label="labels.close" @click="$refs.dialog.close()"><i class="icon icon-close"></i></button></header>
    <form v-if="edited" class="dialog-body" @submit.prevent="save">
      <label class="control"><span class="control-name">{{ labels.name }}</span><input ref="name" class="field" v-model="edited.name" maxlength="60"></label>
      <label class="control"><span class="control-name">{{ labels.text }}</span><textarea class="field" rows="9" v-model="edited.text" maxlength="20000"></textarea><span class="control-hint">{{ labels.text_why }}</span></label>
      <div class="dialog-foot"><button type="button" class="btn" @click="edited = null">{{ labels.back }}</button><button type="submit" class="btn primary" :disabled="!edited.name.trim() || !edited.text.trim()">{{ labels.save }}</button></div>
    </form>
    <template v-else>
      <p class="quiet">{{ labels.why }}</p>
      <ul class="prompt-list"><li v-for="(each, at) in state.prompts" :key="each.id || at"><div class="grow"><strong>{{ each.name }}</strong><span v-if="!each.id" class="chip soft is-quiet">{{ labels.built_in }}</span><p class="faint clip">{{ each.text.replace(/\\s+/g, " ") }}</p></div>
        <button type="button" class="btn square ghost" :aria-label="(each.id ? labels.edit : labels.copy) + ' · ' + each.name" :title="each.id ? labels.edit : labels.copy" @click="edit(each)"><i class="icon" :class="each.id ? 'icon-pencil' : 'icon-copy'"></i></button>
        <button v-if="each.id" type="button" class="btn square ghost" :aria-label="labels.remove + ' · ' + each.name" :title="labels.remove" @click="$emit('delete', each.id)"><i class="icon icon-trash"></i></button></li></ul>
      <div class="dialog-foot"><button type="button" class="btn primary" @click="edit({ id: '', name: '', text: '' })"><i class="icon icon-plus small"></i>{{ labels.add }}</button></div>
    </template>
  </dialog>`,
  methods: {
    open() {
      this.edited = null;
      this.$refs.dialog.showModal();
    },
    // Escape closes what is being written first
    back(event) {
      if (!this.edited) return;
      event.preventDefault();
      this.edited = null;
    },
    edit({ id, name, text }) {
      this.edited = { id, name, text };
      this.$nextTick(() => this.$refs.name?.focus());
    },
    save() {
      const { id, name, text } = this.edited;
      if (!name.trim() || !text.trim()) return;
      this.$emit("save", id, name, text);
      this.edited = null;
    },
  },
};
