// A block of code: its language, a button that copies it, and colours once it is complete.
import hljs from "corral-highlight";
import { copyButton } from "./copy.js";

const LIMIT = 40_000; // characters; longer code stays plain
const LIVE_LIMIT = 6_000; // while it grows
const EVERY_MS = 700;

export class CodeBlock {
  constructor(language, labels) {
    this.language = /^[\w+#.-]{1,24}$/.test(language) ? language : "";
    this.text = "";
    this.node = document.createTextNode("");
    this.code = document.createElement("code");
    this.code.append(this.node);
    const pre = document.createElement("pre");
    pre.append(this.code);
    pre.tabIndex = 0; // it scrolls by keyboard
    const head = document.createElement("div");
    head.className = "code-head";
    const name = document.createElement("span");
    name.textContent = this.language;
    head.append(name, copyButton(() => this.text, labels, this.code));
    this.el = document.createElement("div");
    this.el.className = "code";
    this.el.append(head, pre);
    this.painted = 0;
  }

  // the whole text so far; a growing one is cheap
  set(text, complete) {
    if (text === this.text && complete === this.complete) return;
    const grown = text.startsWith(this.text) && this.node.isConnected;
    if (grown) this.node.appendData(text.slice(this.text.length));
    this.text = text;
    this.complete = complete;
    const colourful = this.language && hljs.getLanguage(this.language) && text.length < (complete ? LIMIT : LIVE_LIMIT);
    if (colourful && (complete || performance.now() - this.painted > EVERY_MS)) this.paint();
    else if (!grown && this.painted && !complete) this.extend();
    else if (!grown) this.plain();
  }

  paint() {
    this.painted = performance.now();
    try {
      const done = hljs.highlight(this.text, { language: this.language, ignoreIllegals: true });
      const parts = build(done._emitter.rootNode);
      if (parts.textContent !== this.text) return this.plain();
      this.shown = this.text;
      this.code.replaceChildren(parts);
    } catch {
      this.plain();
    }
  }

  // between two paints the colours stay and the new text follows them
  extend() {
    if (!this.text.startsWith(this.shown)) return this.plain();
    this.node = document.createTextNode(this.text.slice(this.shown.length));
    this.code.append(this.node);
  }

  plain() {
    this.node = document.createTextNode(this.text);
    this.code.replaceChildren(this.node);
  }
}

// nodes are made one by one, so no text can ever become markup
function build(root) {
  const into = document.createDocumentFragment();
  const open = [[root, into]];
  while (open.length) {
    const [node, parent] = open.pop();
    for (const child of node.children) {
      if (typeof child === "string") parent.append(child);
      else {
        const span = document.createElement("span");
        if (child.scope && !child.scope.includes(":")) span.className = "hljs-" + child.scope.split(".")[0];
        parent.append(span);
        open.push([child, span]);
      }
    }
  }
  return into;
}
