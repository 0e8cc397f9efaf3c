// What a model wrote is hostile until it has passed here: few tags, no style, nothing that loads or runs.
import DOMPurify from "dompurify";

const OURS = new Set(["wide", "picture", "raw", "task", "math", "math-block"]); // the classes that our own renderer writes
const PROFILE = {
  ALLOWED_TAGS: [
    ..."p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code strong em del s ins mark sub sup kbd small b i u a span div".split(" "),
    ..."table thead tbody tr th td".split(" "),
    "#text",
  ],
  ALLOWED_ATTR: ["href", "title", "class", "align", "start", "lang"],
  ADD_URI_SAFE_ATTR: ["align", "start", "lang"],
  ALLOWED_URI_REGEXP: /^(?:https?:\/\/|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const purify = DOMPurify(window); // our own, so that its hooks touch nothing else
purify.addHook("uponSanitizeAttribute", (_, data) => {
  if (data.attrName === "class" && !OURS.has(data.attrValue)) data.keepAttr = false;
});
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

// a fragment of clean nodes
export function clean(html) {
  return purify.sanitize(html, PROFILE);
}

// where a link may lead, or '' when it may not be one
export function safeLink(href) {
  try {
    const url = new URL(String(href));
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : "";
  } catch {
    return ""; // a relative one would lead into the desk itself
  }
}

// whose picture it would have been
export function hostOf(href) {
  try {
    return new URL(String(href)).host;
  } catch {
    return "";
  }
}

export function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);
}
