// A heading that becomes a field when it is clicked.
export default {
  props: { title: String, fixed: Boolean, labels: Object, lang: String },
  emits: ["rename"],
  data() {
    return { editing: false, text: "" };
  },
  template: `
  <div class="title-place">
    <form v-if="editing" @submit.prevent="done"><input ref="field" class="field" maxlength="200" v-model="text" :aria-label="labels.name" @keydown.enter="keyed" @keydown.esc.stop="leave" @blur="done"></form>
    <h1 v-else-if="fixed" class="clip">{{ title }}</h1>
    <h1 v-else class="clip"><button ref="button" type="button" class="title clip" :title="labels.rename" @click="edit"><span class="clip">{{ title }}</span><i class="icon small icon-pencil"></i><span class="sr">{{ labels.rename }}</span></button></h1>
  </div>`,
  watch: {
    fixed() {
      this.editing = false;
    },
  },
  methods: {
    edit() {
      this.text = this.title;
      this.editing = true;
      this.$nextTick(() => this.$refs.field?.select());
    },
    keyed(event) {
      if (event.isComposing || event.keyCode === 229) event.preventDefault(); // Enter picks a word
    },
    done() {
      if (!this.editing) return;
      const text = this.text.trim();
      this.leave();
      if (text && text !== this.title) this.$emit("rename", text);
    },
    leave() {
      this.editing = false;
      this.$nextTick(() => this.$refs.button?.focus());
    },
  },
};
