// Shows a notification for a long answer, unless some tab of the desk is in sight.
const ASK_MS = 150;

export default {
  props: { labels: Object, lang: String },
  emits: ["wanted"],
  template: `<span hidden></span>`,
  mounted() {
    this.channel = new BroadcastChannel("corral-in-sight");
    this.channel.onmessage = ({ data }) => {
      if (data === "anyone?" && !document.hidden) this.channel.postMessage("here");
      if (data === "here") this.answered = true;
    };
    addEventListener("corral-notify", this.want);
    this.want();
  },
  beforeUnmount() {
    this.channel.close();
    removeEventListener("corral-notify", this.want);
  },
  methods: {
    want() {
      const wanted = corral.notify;
      if (wanted !== Boolean(this.was)) this.$emit("wanted", wanted);
      this.was = wanted;
    },
    // called from the server
    async tell(answer) {
      if (!document.hidden || !corral.notify) return;
      this.answered = false;
      this.channel.postMessage("anyone?");
      await new Promise((resolve) => setTimeout(resolve, ASK_MS));
      if (this.answered || !document.hidden) return;
      const shown = corral.showNotification(answer.title || this.labels.untitled, {
        body: answer.failed ? this.labels.failed : this.labels.ready,
        tag: answer.id, // the same of another tab takes its place
        lang: this.lang,
      });
      if (!shown) return;
      shown.onclick = () => {
        focus();
        corral.go("/chat/" + encodeURIComponent(answer.conversation));
        shown.close();
      };
    },
  },
};
