// Figures with their change and a spark line each.
import { watchSeen } from "corral-figures";

export default {
  props: { wait: Number, labels: Object, lang: String },
  emits: ["ready", "seen"],
  data() {
    return { tiles: null };
  },
  template: `
  <section class="tiles" :aria-label="labels.figures" :aria-busy="!tiles">
    <template v-if="!tiles"><div v-for="n in wait" class="tile" aria-hidden="true"><i class="skeleton" style="height:14px;width:60%"></i><i class="skeleton" style="height:28px;width:45%"></i><i class="skeleton" style="height:12px;width:80%"></i></div></template>
    <div v-for="tile in tiles ?? []" :key="tile.id" class="tile" :data-tile="tile.id">
      <h2 :title="tile.title">{{ tile.title }}</h2>
      <div class="tile-line"><span class="figure">{{ tile.figure }}<small v-if="tile.unit">{{ tile.unit }}</small></span>
        <span v-if="tile.change" class="tile-change" :class="tile.tone">{{ tile.change }}</span></div>
      <span class="under" :title="tile.under">{{ tile.under }}</span>
      <svg v-if="line(tile)" class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><path v-if="points(tile).length > 2" class="spark-area" :d="line(tile) + 'V24H' + first(tile) + 'Z'"/><path class="spark-line" :d="line(tile)"/></svg>
      <i v-else class="spark"></i>
    </div>
  </section>`,
  mounted() {
    this.unwatch = watchSeen(this.$el, (seen) => this.$emit("seen", seen));
    this.$emit("ready");
  },
  unmounted() {
    this.unwatch();
  },
  methods: {
    show(tiles) {
      this.tiles = tiles;
    },
    points({ spark }) {
      const known = (spark ?? []).map((value, n) => [n, value]).filter(([, value]) => value != null);
      if (known.length < 2) return [];
      const top = Math.max(...known.map(([, value]) => value)) || 1;
      const last = spark.length - 1;
      return known.map(([n, value]) => [+((n / last) * 100).toFixed(2), +(22.5 - (value / top) * 21).toFixed(2)]);
    },
    line(tile) {
      const points = this.points(tile);
      return points.length && "M" + points.map((point) => point.join(" ")).join("L");
    },
    first(tile) {
      return this.points(tile)[0][0];
    },
  },
};
