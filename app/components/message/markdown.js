// A growing answer as Markdown. Only the end of it is read again, and only blocks that changed are drawn again.
import { Lexer, Marked, Renderer } from "corral-marked";
import { clean, escape, hostOf, safeLink } from "./clean.js";
import { CodeBlock } from "./code.js";
import { draw, extensions } from "./formula.js";

const MOST = 200_000; // characters that are read as Markdown; what follows is shown as it is
const PIECE = 6_000; // characters that are read at once
const GIANT = 48_000; // a block larger than this is not read as Markdown unless it is code
const ROWS = 40; // of a table, drawn at once
const HARMLESS = /^<\/?(?:br|sub|sup|kbd|mark|u|b|i|em|strong|s|del|ins|small)\s*\/?>$/i;

export class Markdown {
  constructor(el, labels) {
    this.el = el;
    this.labels = labels; // a function
    this.reset();
  }

  reset() {
    this.text = "";
    this.blocks = [];
    this.links = {};
    this.whole = false; // true: it cannot be read on from the middle
    this.end = 0; // of what has been read
    this.tokens = null;
    this.el.replaceChildren();
  }

  // the whole answer so far; live: more may come
  set(text, live) {
    text = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (!text.startsWith(this.text)) this.reset();
    if (this.tokens) this.drop(this.next + 1); // what was not reached yet is read again
    this.tokens = null;
    this.text = text;
    this.live = live;
  }

  // draws until everything is there (true) or the time has come (false: call again)
  paint(until) {
    do {
      if (!this.tokens) this.read();
      while (this.next < this.tokens.length) {
        if (!this.put(this.next, this.tokens[this.next], until)) return false;
        this.next++;
        if (performance.now() > until && this.next < this.tokens.length) return false;
      }
      this.drop(this.next);
      this.tokens = null;
      if (this.end >= this.text.length) return true;
    } while (performance.now() < until);
    return false;
  }

  relabel() {
    for (const button of this.el.querySelectorAll(".copy")) button.relabel();
    for (const place of this.el.querySelectorAll(".picture")) place.dataset.word = this.labels().picture;
  }

  drop(from) {
    for (const block of this.blocks.splice(from)) block.el.remove();
  }

  // Text is only ever added at the end, so all but the last two blocks are as they will stay.
  read() {
    let first = this.whole ? 0 : Math.max(0, this.blocks.length - 2);
    this.end = this.whole ? this.text.length : Math.min(this.text.length, this.end + PIECE);
    this.ended = !this.live && this.end >= this.text.length;
    let tokens = this.lex(first);
    const sure = this.ended ? tokens : tokens.slice(0, -1);
    const fresh = sure.filter((token) => token.type === "def" && !(token.tag in this.links));
    for (const { tag, href, title, at } of fresh) this.links[tag] = { href, title, at };
    const linked = fresh.length ? this.blocks.filter((block) => block.type !== "def" && block.raw.includes("[")) : [];
    for (const block of linked) block.stale = true; // it may lead somewhere now
    if (first && linked.length) tokens = this.lex((first = 0));
    this.tokens = [...this.blocks.slice(0, first), ...tokens.filter((token) => token.type !== "space")];
    this.next = first;
    this.open = this.ended ? -1 : this.tokens.length - 1;
  }

  lex(first) {
    let at = first ? this.blocks[first].at : 0;
    const most = Math.min(this.end, MOST);
    const tokens = lex(this.text.slice(at, Math.max(at, most)), this.links, at);
    for (const token of tokens) {
      token.at = at;
      at += token.raw.length;
    }
    this.whole = at < most;
    if (this.end > MOST) tokens.push({ ...plain(this.text.slice(MOST, this.end)), at: MOST });
    return tokens;
  }

  put(index, token, until) {
    const open = index === this.open;
    let block = this.blocks[index];
    if (block && block.done && !block.stale && block.type === token.type && block.raw === token.raw && block.open === open) {
      block.at = token.at;
      return true;
    }
    if (!block || block.type !== token.type || block.lang !== token.lang || block.ordered !== token.ordered) {
      const made = make(token, this.labels);
      if (block) block.el.replaceWith(made.el);
      else this.el.append(made.el);
      this.blocks[index] = block = made;
    }
    if (block.stale && !block.code) block.el.replaceChildren();
    Object.assign(block, { raw: token.raw, at: token.at, open, done: true, stale: false });
    if (token.type === "code") block.code.set(token.text, !open || closed(token.raw));
    else if (token.type === "plain") grow(block.el, token.text);
    else if (token.type === "list") block.done = this.putItems(block.el, token, open, until);
    else if (token.type === "table") block.done = this.putRows(block.el, token, until);
    else this.fill(block.el, [token], open);
    return block.done;
  }

  // a long list is common, and it grows at its end only
  putItems(el, list, open, until) {
    if (list.ordered && list.start !== 1) el.setAttribute("start", list.start);
    for (const [index, item] of list.items.entries()) {
      const key = item.raw.trimEnd() + (item.loose ? "\n" : "");
      const growing = open && index === list.items.length - 1;
      const old = el.children[index];
      if (old && old.key === key && old.growing === growing) continue;
      const shell = document.createElement("div");
      this.fill(shell, [{ ...list, items: [item] }], growing);
      const made = shell.querySelector("li") ?? Object.assign(document.createElement("li"), { textContent: item.raw });
      Object.assign(made, { key, growing });
      if (old) old.replaceWith(made);
      else el.append(made);
      if (performance.now() > until && index < list.items.length - 1) return false;
    }
    while (el.children.length > list.items.length) el.lastChild.remove();
    return true;
  }

  // so is a long table; some rows at a time
  putRows(el, table, until) {
    const lines = table.raw.split("\n");
    const head = lines.slice(0, 2).join("\n");
    if (el.head !== head || !el.firstChild) {
      this.fill(el, [{ ...table, rows: [] }]);
      Object.assign(el, { head, lines: [] });
    }
    const rows = el.querySelector("table")?.tBodies[0] ?? el.querySelector("table")?.createTBody();
    if (!rows) return true;
    let same = 0;
    while (same < el.lines.length && same < table.rows.length && el.lines[same] === lines[same + 2]) same++;
    while (rows.rows.length > same) rows.lastChild.remove();
    for (let from = same; from < table.rows.length; from += ROWS) {
      const shell = document.createElement("div");
      this.fill(shell, [{ ...table, rows: table.rows.slice(from, from + ROWS) }]);
      rows.append(...(shell.querySelector("table")?.tBodies[0]?.rows ?? []));
      el.lines = lines.slice(2, 2 + Math.min(from + ROWS, table.rows.length));
      if (performance.now() > until && from + ROWS < table.rows.length) return false;
    }
    return true;
  }

  fill(el, tokens, growing) {
    const raw = tokens.map((token) => token.raw).join("");
    let html;
    try {
      if (tokens[0].type !== "table" && tokens[0].type !== "list" && heavy(raw)) throw new Error("too much at once");
      html = marked.parser(tokens).trimEnd();
    } catch {
      return grow(el, raw); // nested too deeply, or too long, to be drawn
    }
    const nodes = clean(html);
    for (const pre of nodes.querySelectorAll("pre")) {
      const code = new CodeBlock(pre.lang, this.labels);
      const text = pre.textContent.replace(/\n$/, "");
      pre.replaceWith(code.el);
      code.set(text, !growing || text.length < 2000);
    }
    for (const place of nodes.querySelectorAll(".picture")) place.dataset.word = this.labels().picture;
    const formulas = [...nodes.querySelectorAll(".math, .math-block")];
    el.classList.remove("raw");
    el.replaceChildren(nodes);
    for (const place of formulas) draw(place, place.className === "math-block");
  }
}

class Ours extends Renderer {
  html({ text, block }) {
    if (HARMLESS.test(text.trim())) return text;
    return block ? `<p class="raw">${escape(text.trimEnd())}</p>` : escape(text);
  }
  link({ href, tokens }) {
    const text = this.parser.parseInline(tokens);
    const to = safeLink(href);
    return to ? `<a href="${escape(to)}" title="${escape(to)}">${text}</a>` : text;
  }
  image({ href, text }) {
    const host = hostOf(href);
    return `<span class="picture" title="${escape(host)}">${escape(text)}${host ? ` <small>${escape(host)}</small>` : ""}</span>`;
  }
  code({ text, lang }) {
    return `<pre lang="${escape((lang ?? "").split(/\s/)[0])}"><code>${escape(text)}\n</code></pre>`;
  }
  listitem(item) {
    return item.task ? super.listitem(item).replace("<li>", '<li class="task">') : super.listitem(item);
  }
  checkbox({ checked }) {
    return checked ? "☑ " : "☐ ";
  }
  table(token) {
    return `<div class="wide">${super.table(token)}</div>`;
  }
}

const marked = new Marked({ gfm: true, breaks: true });
marked.setOptions({ renderer: new Ours() });
marked.use({ extensions: extensions.map((each) => ({ ...each, renderer: formula })) });

function formula({ type, text, display }) {
  const block = type === "formulaBlock";
  return `<${block ? "div" : "span"} class="${block || display ? "math-block" : "math"}">${escape(text)}</${block ? "div" : "span"}>`;
}

// Reading a paragraph costs the square of its openers, or of its longest word; one that has too many stays as it is.
class Careful extends Lexer {
  inlineTokens(src, tokens = []) {
    if (!costly(src)) return super.inlineTokens(src, tokens);
    tokens.push({ type: "text", raw: src, text: src, escaped: false });
    return tokens;
  }
}

function costly(src) {
  if (src.length < 1_000) return false;
  return (src.match(/[*_~[`<]/g)?.length ?? 0) > 500 || /[\w.!#$%&'*+/=?`{|}~-]{3000}|[ \t]{2000}/.test(src);
}

function lex(text, links, from) {
  try {
    if (pathological(text) || (text.length > GIANT && !/^(?: {0,3})(?:`{3}|~{3})/m.test(text))) throw new Error("too deep");
    const lexer = new Careful(marked.defaults);
    for (const tag in links) if (links[tag].at < from) lexer.tokens.links[tag] = links[tag];
    return lexer.lex(text);
  } catch {
    return [plain(text)];
  }
}

// nobody nests like this but someone who wants to stop the page
function pathological(text) {
  const nested = /^(?:[ \t]*(?:>|[-*+]|\d{1,9}[.)])){24}|^[ \t]{80,}(?:>|[-*+]|\d{1,9}[.)])/m;
  return nested.test(text) || /([*_[\]!(<`~|&\\])(?:\1|\s){400}/.test(text);
}

// one block that would take too long to draw
function heavy(raw) {
  return raw.length > 12_000 || (raw.length > 2_000 && raw.split("\n").length > 1_000);
}

function plain(text) {
  return { type: "plain", raw: text, text };
}

function make(token, labels) {
  const block = { type: token.type, lang: token.lang, ordered: token.ordered };
  if (token.type === "code") {
    block.code = new CodeBlock((token.lang ?? "").split(/\s/)[0], labels);
    block.el = block.code.el;
  } else {
    block.el = document.createElement(token.type === "list" ? (token.ordered ? "ol" : "ul") : "div");
    if (token.type === "plain") block.el.className = "raw";
  }
  return block;
}

function grow(el, text) {
  const node = el.firstChild;
  if (node?.nodeType === Node.TEXT_NODE && el.childNodes.length === 1 && text.startsWith(node.data)) {
    node.appendData(text.slice(node.data.length));
  } else {
    el.classList.add("raw");
    el.replaceChildren(text);
  }
}

function closed(raw) {
  return /\n {0,3}(?:`{3,}|~{3,})[ \t]*\n*$/.test(raw);
}
