// A growing answer as Markdown. Only the end of it is read again, and only blocks that changed are drawn again.
import { Marked, Renderer } from "corral-marked";
import { clean, escape, hostOf, safeLink } from "./clean.js";
import { CodeBlock } from "./code.js";

const MOST = 200_000; // characters that are read as Markdown; what follows is shown as it is
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
    this.whole = false;
    this.el.replaceChildren();
    this.tokens = null;
  }

  // the whole answer so far; live: more may come
  set(text, live) {
    text = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    if (!text.startsWith(this.text)) this.reset();
    this.tokens = null;
    this.text = text;
    this.live = live;
  }

  // draws until everything is there (true) or the time has come (false: call again)
  paint(until) {
    if (!this.tokens) this.read();
    while (this.next < this.tokens.length) {
      this.put(this.next, this.tokens[this.next]);
      this.next++;
      if (performance.now() > until && this.next < this.tokens.length) return false;
    }
    for (const block of this.blocks.splice(this.next)) block.el.remove();
    return true;
  }

  relabel() {
    for (const button of this.el.querySelectorAll(".copy")) button.relabel();
    for (const place of this.el.querySelectorAll(".picture")) place.dataset.word = this.labels().picture;
  }

  // Text is only ever added at the end, so all but the last two blocks are as they will stay.
  read() {
    const first = this.live && !this.whole ? Math.max(0, this.blocks.length - 2) : 0;
    let at = first ? this.blocks[first].at : 0;
    const tokens = lex(this.text.slice(at, Math.max(at, MOST)), this.links);
    const read = tokens.reduce((sum, token) => sum + token.raw.length, 0);
    this.whole = at + read !== Math.min(this.text.length, MOST); // places are not to be trusted, read it all next time
    if (this.text.length > MOST) tokens.push(plain(this.text.slice(MOST)));
    const before = Object.keys(this.links).length;
    Object.assign(this.links, tokens.links);
    if (Object.keys(this.links).length !== before) {
      for (const block of this.blocks) if (block.raw.includes("[")) block.raw = null; // its links lead somewhere now
    }
    for (const token of tokens) {
      token.at = at;
      at += token.raw.length;
    }
    this.tokens = [...this.blocks.slice(0, first), ...tokens.filter((token) => token.type !== "space")];
    this.next = first;
    this.last = this.tokens.length - 1;
  }

  put(index, token) {
    const open = this.live && index === this.last;
    let block = this.blocks[index];
    if (block && block.type === token.type && block.raw === token.raw && block.open === open) {
      block.at = token.at;
      return;
    }
    if (!block || block.type !== token.type || block.lang !== token.lang || block.ordered !== token.ordered) {
      const made = make(token, this.labels);
      if (block) block.el.replaceWith(made.el);
      else this.el.append(made.el);
      this.blocks[index] = block = made;
    }
    Object.assign(block, { raw: token.raw, at: token.at, open });
    if (token.type === "code") block.code.set(token.text, !open || closed(token.raw));
    else if (token.type === "plain") grow(block.el, token.text);
    else if (token.type === "list") this.putItems(block, token, open);
    else this.fill(block.el, [token], open);
  }

  // a long list is common, and it grows at its end only
  putItems(block, list, open) {
    const { el } = block;
    if (list.ordered && list.start !== 1) el.setAttribute("start", list.start);
    list.items.forEach((item, index) => {
      const key = item.raw.trimEnd() + (item.loose ? "\n" : "");
      const growing = open && index === list.items.length - 1;
      const old = el.children[index];
      if (old && old.key === key && old.growing === growing) return;
      const shell = document.createElement("div");
      this.fill(shell, [{ ...list, items: [item] }], growing);
      const made = shell.querySelector("li") ?? document.createElement("li");
      Object.assign(made, { key, growing });
      if (old) old.replaceWith(made);
      else el.append(made);
    });
    while (el.children.length > list.items.length) el.lastChild.remove();
  }

  fill(el, tokens, growing) {
    let html;
    try {
      html = marked.parser(tokens);
    } catch {
      return grow(el, tokens.map((token) => token.raw).join("")); // nested too deeply to be drawn
    }
    const nodes = clean(html);
    for (const pre of nodes.querySelectorAll("pre")) {
      const code = new CodeBlock(pre.lang, this.labels);
      const text = pre.textContent.replace(/\n$/, "");
      pre.replaceWith(code.el);
      code.set(text, !growing || text.length < 2000);
    }
    for (const place of nodes.querySelectorAll(".picture")) place.dataset.word = this.labels().picture;
    el.replaceChildren(nodes);
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
  checkbox({ checked }) {
    return checked ? "☑ " : "☐ ";
  }
  table(token) {
    return `<div class="wide">${super.table(token)}</div>`;
  }
}

const marked = new Marked({ gfm: true, breaks: true });
marked.setOptions({ renderer: new Ours() });

function lex(text, links) {
  try {
    if (pathological(text)) throw new Error("too deep");
    const lexer = new marked.Lexer(marked.defaults);
    Object.assign(lexer.tokens.links, links);
    return lexer.lex(text);
  } catch {
    return Object.assign([plain(text)], { links: {} });
  }
}

// nobody nests like this but someone who wants to stop the page
function pathological(text) {
  return /^(?:[ \t]*(?:>|[-*+]|\d{1,9}[.)])){24}/m.test(text) || /([*_[\]!(<`~|&\\])(?:\1|\s){400}/.test(text);
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
