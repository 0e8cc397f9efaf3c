// Messages that are sent when the answer before them is there: they can be changed, moved and removed until then.
export const NextList = {
  name: "ComposerNext",
  // lines: [{id, text, model, files}] of the conversation of; held: nothing goes by itself, because the answer before was stopped or failed
  props: { lines: Array, of: String, held: Boolean, labels: Object },
  emits: ["next", "late"],
  data() {
    return { editing: "", text: "" };
  },
  template: `
  <section class="next" :aria-label="labels.next">
    <header class="next-head"><i class="icon small" :class="held ? 'icon-pause' : 'icon-clock'" aria-hidden="true"></i><span class="grow">{{ held ? labels.next_held : labels.next }}</span>
      <button v-if="held" type="button" class="btn tiny" @click="$emit('next', 'send', '')">{{ labels.send_now }}</button></header>
    <ol><li v-for="(line, place) in lines" :key="line.id">
      <form v-if="editing === line.id" class="next-edit" @submit.prevent="save"><textarea ref="box" class="field" rows="2" v-model="text" :aria-label="labels.edit_next" @keydown.esc.stop="editing = ''" @keydown.enter="entered"></textarea>
        <button type="submit" class="btn tiny" :disabled="!text.trim() && !line.files">{{ labels.save }}</button></form>
      <template v-else><span class="faint num">{{ place + 1 }}</span><span class="next-text">{{ line.text || labels.only_files }}</span><span v-if="line.files" class="faint next-files"><i class="icon icon-clip" aria-hidden="true"></i>{{ line.files }}</span>
        <span class="next-acts"><button type="button" class="btn square ghost" :disabled="!place" :aria-label="labels.sooner" :title="labels.sooner" @click="$emit('next', 'move', line.id, -1)"><i class="icon icon-up"></i></button>
        <button type="button" class="btn square ghost" :disabled="place === lines.length - 1" :aria-label="labels.later" :title="labels.later" @click="$emit('next', 'move', line.id, 1)"><i class="icon icon-down"></i></button>
        <button type="button" class="btn square ghost" :aria-label="labels.edit_next" :title="labels.edit_next" @click="edit(line)"><i class="icon icon-pencil"></i></button>
        <button type="button" class="btn square ghost" :aria-label="labels.remove_next" :title="labels.remove_next" @click="$emit('next', 'drop', line.id)"><i class="icon icon-trash"></i></button></span></template>
    </li></ol>
  </section>`,
  watch: {
    lines(now) {
      if (!now.some((each) => each.id === this.editing)) this.late();
    },
  },
  beforeUnmount() {
    this.late();
  },
  methods: {
    // it was sent while it was being edited: what was written is not lost
    late() {
      if (this.editing && this.text.trim() && this.text !== this.before) this.$emit("late", this.text, this.home);
      this.editing = "";
    },
    edit(line) {
      this.home = this.of;
      this.editing = line.id;
      this.text = this.before = line.text;
      this.$nextTick(() => this.$refs.box?.[0]?.focus());
    },
    entered(event) {
      if (event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.save();
    },
    save() {
      const line = this.lines.find((each) => each.id === this.editing);
      if (line && (this.text.trim() || line.files) && this.text !== line.text) this.$emit("next", "edit", line.id, this.text);
      this.editing = "";
    },
  },
};
