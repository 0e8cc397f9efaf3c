// Prompts to begin a message with: a list that "/" opens, filtered by what is typed behind it.
const GAP = /\{\{\s*[^{}\n]{1,60}?\s*\}\}/g;

// the first {{gap}} of a text from a place on: [from, to], or null
export function gapIn(text, from = 0) {
  GAP.lastIndex = from;
  const found = GAP.exec(text);
  return found ? [found.index, found.index + found[0].length] : null;
}

// the one behind (or before, around the end) what is selected
export function nextGap(text, selection, back) {
  if (!back) return gapIn(text, selection) ?? gapIn(text);
  let last = null;
  for (let gap = gapIn(text); gap && gap[1] < selection; gap = gapIn(text, gap[1])) last = gap;
  return last;
}

export const PromptMenu = {
  name: "ComposerPrompts",
  // prompts: [{id, name, text}]; found: those that fit, of which one is marked
  props: { found: Array, marked: Number, labels: Object },
  emits: ["take", "book"],
  template: `
  <div class="prompts">
    <div id="composer-prompts" role="listbox" :aria-label="labels.prompts"><button v-for="(each, at) in found" :key="at" :id="'prompt-' + at" type="button" tabindex="-1" role="option" class="menu-item" :class="{ marked: at === marked }" :aria-selected="at === marked" @mousedown.prevent @click="$emit('take', each)">
      <span class="prompt-name">{{ each.name }}</span><span class="faint clip">{{ each.text.replace(/\\s+/g, " ") }}</span></button></div>
    <p v-if="!found.length" class="quiet">{{ labels.no_prompt }}</p>
    <button type="button" class="menu-item prompts-book" tabindex="-1" @mousedown.prevent @click="$emit('book')"><i class="icon small icon-book" aria-hidden="true"></i>{{ labels.book }}</button>
  </div>`,
};
