// A faster model comes and goes with every look of the queue ahead; shown is one that lasts, and it does not go at once.
const COMES_AFTER_S = 1.5;
const GOES_AFTER_S = 2.5;

export class Offer {
  constructor() {
    this.shown = null; // {model, at, open}; one that is not open keeps its place only
    this.heard = null;
    this.since = 0;
  }

  // what to show now, when the queue names this model ("" for none) and the time it would start
  see(model, at, clock) {
    if (this.heard === null) this.since = clock - COMES_AFTER_S; // it was there before we looked
    else if (model !== this.heard) this.since = clock;
    this.heard = model;
    const lasted = clock - this.since;
    if (model && (model === this.shown?.model || lasted >= COMES_AFTER_S)) this.shown = { model, at, open: true };
    else if (!model && this.shown) this.shown = { ...this.shown, open: this.shown.open && lasted < GOES_AFTER_S };
    return this.shown;
  }
}
