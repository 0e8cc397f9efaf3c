// Formulas: $…$, $$…$$, \(…\) and \[…\]. KaTeX is fetched when the first one appears, and draws a few per frame.
const MOST = 2_000; // characters; a longer one stays as it is written
const KEPT = 300; // drawings, since a growing answer is drawn again and again
const BUDGET_MS = 8;
const OPTIONS = { throwOnError: true, strict: "ignore", trust: false, errorColor: "inherit", maxSize: 10, maxExpand: 200 };

const drawn = new Map();
const waiting = [];
let loading = null;
let asked = false;

// place: an element that holds the source; it is drawn there as soon as that is possible
export function draw(place, display) {
  const source = place.textContent;
  const key = (display ? "$$" : "$") + source;
  const known = drawn.get(key);
  if (known) return place.replaceChildren(known.cloneNode(true));
  if (source.length > MOST) return;
  waiting.push({ place, source, display, key });
  ask();
}

async function ask() {
  if (asked) return;
  asked = true;
  loading ??= load();
  const katex = await loading.catch(() => null); // without it formulas stay as they are written
  if (!katex) {
    loading = null;
    asked = false;
    waiting.length = 0;
    return;
  }
  requestAnimationFrame(() => run(katex));
}

function run(katex) {
  const until = performance.now() + BUDGET_MS;
  while (waiting.length && performance.now() < until) {
    const { place, source, display, key } = waiting.shift();
    if (!place.isConnected) continue;
    const shell = document.createElement("span");
    try {
      katex.render(source, shell, { ...OPTIONS, displayMode: display, macros: {} });
    } catch {
      continue; // wrong, or not complete yet: it stays as it is written
    }
    if (drawn.size >= KEPT) drawn.delete(drawn.keys().next().value);
    drawn.set(key, shell.firstChild.cloneNode(true));
    place.replaceChildren(shell.firstChild);
  }
  asked = false;
  if (waiting.length) ask();
}

async function load() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("katex.css", import.meta.resolve("corral-katex"));
  document.head.append(style);
  return (await import("corral-katex")).default;
}

// how marked finds them; nothing here looks further than one formula may be long
export const extensions = [
  {
    name: "formulaBlock",
    level: "block",
    start: (src) => {
      const found = /\n {0,3}(?:\$\$|\\\[)/.exec(src);
      return found ? found.index + 1 : undefined;
    },
    tokenizer(src) {
      const open = /^ {0,3}(\$\$|\\\[)/.exec(src);
      if (!open) return undefined;
      const found = between(src, open[0].length, open[1] === "$$" ? "$$" : "\\]");
      if (!found) return undefined;
      const rest = /^[ \t]*(?:\n+|$)/.exec(src.slice(found.end, found.end + 200));
      return rest ? { type: "formulaBlock", raw: src.slice(0, found.end + rest[0].length), text: found.text } : undefined;
    },
  },
  {
    name: "formula",
    level: "inline",
    start: (src) => {
      const found = /\$|\\[([]/.exec(src);
      return found?.index;
    },
    tokenizer(src) {
      const open = /^(?:\$\$?|\\[([])/.exec(src)?.[0];
      if (!open) return undefined;
      const found = between(src, open.length, { $: "$", $$: "$$", "\\(": "\\)", "\\[": "\\]" }[open]);
      if (!found) return undefined;
      // money: "$5 and $10"
      if (open === "$" && (/^\s|\s$/.test(found.raw) || /^\d/.test(src.slice(found.end)))) return undefined;
      return { type: "formula", raw: src.slice(0, found.end), text: found.text, display: open === "$$" || open === "\\[" };
    },
  },
];

function between(src, from, close) {
  const piece = src.slice(from, from + MOST + close.length);
  for (let at = piece.indexOf(close); at > 0; at = piece.indexOf(close, at + 1)) {
    if (close[0] === "$" && piece[at - 1] === "\\") continue; // \$ is a dollar
    const raw = piece.slice(0, at);
    return raw.trim() && !/\n\s*\n/.test(raw) ? { raw, text: raw.trim(), end: from + at + close.length } : null;
  }
  return null;
}
