// Key caps in groups. "g c" is one after the other, "mod+k" both at once.
const MAC = /Mac|iP(hone|ad)/.test(navigator.platform);
const NAMES = { mod: MAC ? "⌘" : "Ctrl", alt: MAC ? "⌥" : "Alt", shift: MAC ? "⇧" : "Shift" };

export default {
  props: { groups: Array, labels: Object, lang: String },
  template: `
  <div class="keys">
    <section v-for="group in groups" :key="group.name">
      <h3>{{ group.name }}</h3>
      <dl><div v-for="line in group.lines" :key="line.does">
        <dt>{{ line.does }}</dt>
        <dd><template v-for="(key, at) in line.keys" :key="key"><span v-if="at" class="faint">{{ labels.or_ }}</span>
          <span class="keys-combo"><template v-for="(part, nth) in parts(key)" :key="nth"><span v-if="part.then" class="sr">{{ labels.then }}</span><kbd>{{ part.name }}</kbd></template></span></template></dd>
      </div></dl>
    </section>
  </div>`,
  methods: {
    parts(key) {
      return key.split(" ").flatMap((stroke, at) =>
        stroke.split("+").map((name, nth) => ({ then: at > 0 && nth === 0, name: this.name(name) })));
    },
    name(key) {
      return NAMES[key] ?? this.labels[key] ?? key.toUpperCase();
    },
  },
};
