// Small things around a message: which of several versions it is, and what is attached to it.

export const Turns = {
  name: "DeskTurns",
  props: { view: Object, labels: Object },
  emits: ["turn"],
  template: `
  <span class="turns" role="group" :aria-label="labels.versions">
    <button type="button" class="btn ghost tiny" :disabled="view.turn <= 1" :aria-label="labels.version_before" @click="$emit('turn', -1)">‹</button>
    <span class="num">{{ view.turn }}/{{ view.turns }}</span>
    <button type="button" class="btn ghost tiny" :disabled="view.turn >= view.turns" :aria-label="labels.version_after" @click="$emit('turn', 1)">›</button>
  </span>`,
};

export const Files = {
  name: "DeskFiles",
  props: { files: Array, labels: Object, words: Object },
  template: `
  <ul class="files" :aria-label="labels.files">
    <li v-for="file in files" :key="file.id"><a :href="'/desk/files/' + file.id" target="_blank" rel="noopener" :title="file.name" :class="{ picture: file.picture }">
      <img v-if="file.picture" :src="'/desk/files/' + file.id" :alt="file.name" loading="lazy" :style="file.ratio ? { aspectRatio: file.ratio } : null">
      <template v-else><i class="icon small icon-file" aria-hidden="true"></i><span class="clip">{{ file.name }}</span><span class="faint">{{ words.size(file.size) }}</span></template></a></li>
  </ul>`,
};
