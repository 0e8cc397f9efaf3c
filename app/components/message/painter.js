// Draws what changed, a few milliseconds per frame, the newest first; what is slow to draw is drawn less often.
const BUDGET_MS = 10;
const REST = 5; // times what the last drawing took

const waiting = new Map(); // view → {due}
let asked = false;

// view: {order, paint(until) → done}
export function request(view) {
  if (!waiting.has(view)) waiting.set(view, view.restUntil ?? 0);
  ask();
}

export function forget(view) {
  waiting.delete(view);
}

function ask() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(run);
}

function run() {
  asked = false;
  const start = performance.now();
  const views = [...waiting.keys()].sort((a, b) => b.order - a.order);
  for (const view of views) {
    const begin = performance.now();
    if (waiting.get(view) > begin) continue;
    if (begin - start > BUDGET_MS) break;
    const done = view.paint(start + BUDGET_MS);
    const end = performance.now();
    view.restUntil = end - begin > 4 ? end + (end - begin) * REST : 0;
    if (done) waiting.delete(view);
  }
  if (waiting.size) ask();
}
