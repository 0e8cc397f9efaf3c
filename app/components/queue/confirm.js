// A question before something that cannot be undone: {title, text, yes, kind, then}.
export const Confirm = {
  name: "QueueConfirm",
  props: { question: Object, labels: Object },
  emits: ["over"],
  template: `
  <q-dialog :model-value="!!question" role="alertdialog" :aria-label="question?.title" @hide="$emit('over')" transition-duration="120">
    <div v-if="question" class="dialog">
      <h2>{{ question.title }}</h2><p class="quiet">{{ question.text }}</p>
      <div class="dialog-foot"><button type="button" class="btn" v-close-popup autofocus>{{ labels.keep }}</button>
        <button type="button" class="btn" :class="question.kind ?? 'danger'" v-close-popup @click="question.then()">{{ question.yes }}</button></div>
    </div>
  </q-dialog>`,
};
