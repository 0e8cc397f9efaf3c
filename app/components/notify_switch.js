// On only with the browser's permission, which is asked for at the click.
export default {
  props: { labels: Object, lang: String },
  data() {
    return { on: corral.notify, state: stateNow() };
  },
  template: `
  <div class="control control-switch">
    <button type="button" role="switch" class="switch" :aria-checked="on" aria-labelledby="notify-name" aria-describedby="notify-told" :disabled="!on && state !== ''" @click="turn"><i></i></button>
    <span class="control-name" id="notify-name">{{ labels.name }}</span>
    <p id="notify-told" :class="state ? 'control-error' : 'control-hint'" :role="state ? 'status' : null">{{ state ? labels[state] : labels.hint }}</p>
  </div>`,
  methods: {
    async turn() {
      const allowed = this.on || (await Notification.requestPermission()) === "granted";
      this.state = stateNow();
      if (!allowed) return;
      this.on = !this.on;
      corral.setNotify(this.on);
      if (this.on) corral.showNotification(this.labels.name, { body: this.labels.sample, tag: "sample", lang: this.lang });
    },
  },
};

function stateNow() {
  if (!globalThis.isSecureContext) return "insecure";
  if (!("Notification" in globalThis)) return "missing";
  return Notification.permission === "denied" ? "denied" : "";
}
