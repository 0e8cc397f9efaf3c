// The little that runs before and beside Vue: theme, language, copying. Cookies hold the preferences, nothing else does.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const cookie = (name) => document.cookie.match(new RegExp("(?:^|; )" + name + "=([^;]*)"))?.[1] ?? "";
  const keep = (name, value) => {
    document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=strict`;
  };
  let theme = cookie("corral_theme") || "system";
  const paint = () => {
    const now = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    document.documentElement.dataset.theme = now;
    document.querySelector('meta[name="theme-color"]')?.setAttribute("content", now === "dark" ? "#141413" : "#f6f6f4");
    globalThis.Quasar?.Dark?.set(now === "dark");
    dispatchEvent(new CustomEvent("corral-theme", { detail: now }));
  };
  dark.addEventListener("change", paint);
  paint(); // before the first pixel

  // arrows in a menu, which has the focus itself once it is open; one that moves by itself has prevented the default
  document.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const items = step && !event.defaultPrevented && !event.target.matches("input")
      ? [...(event.target.closest(".q-menu")?.querySelectorAll('[role^="menuitem"]') ?? [])] : [];
    if (!items.length) return;
    const at = items.indexOf(document.activeElement);
    const checked = Math.max(0, items.findIndex((item) => item.ariaChecked === "true"));
    items[at < 0 ? checked : (at + step + items.length) % items.length].focus();
    event.preventDefault();
  });

  globalThis.corral = {
    // 'light' or 'dark', as painted now; charts listen to the window event 'corral-theme'
    get theme() {
      return document.documentElement.dataset.theme;
    },
    get themeChoice() {
      return theme;
    },
    // whether single letters are shortcuts in this browser
    get keys() {
      return cookie("corral_keys") !== "off";
    },
    setKeys(on) {
      keep("corral_keys", on ? "on" : "off");
    },
    // whether this browser wants to be told of long answers, and may be
    get notify() {
      return cookie("corral_notify") === "on" && globalThis.Notification?.permission === "granted";
    },
    setNotify(on) {
      keep("corral_notify", on ? "on" : "off");
      dispatchEvent(new CustomEvent("corral-notify"));
    },
    showNotification(title, options) {
      try {
        return new Notification(title, { icon: document.querySelector('link[rel~="icon"]')?.href, ...options });
      } catch {
        return null; // some phones only let a service worker do that
      }
    },
    // to another view, as a click on a link to it would
    go(path) {
      if (path !== location.pathname + location.search) emitEvent("sub_pages_navigate", path);
    },
    // another place is shown: the keyboard goes on there, unless it does already
    arrived() {
      requestAnimationFrame(() => {
        const content = document.getElementById("content");
        if (!content.contains(document.activeElement) && !document.querySelector("dialog[open]")) content.focus({ preventScroll: true });
      });
    },
    // a new conversation, ready to be written; with a model if one is named
    compose(wish = {}) {
      const draft = "corral-draft:"; // as the composer keeps it
      if (wish.model)
        try {
          const kept = JSON.parse(sessionStorage.getItem(draft) ?? "{}");
          sessionStorage.setItem(draft, JSON.stringify({ text: "", ...kept, model: wish.model }));
        } catch {}
      const here = location.pathname === "/chat";
      if (!here) return corral.go("/chat");
      dispatchEvent(new CustomEvent("corral-compose", { detail: wish }));
      document.querySelector(".composer textarea")?.focus();
    },
    // to the first place to search in on this page
    search() {
      const find = () => [...document.querySelectorAll('.content input[type="search"], .content [data-search]')].find((each) => each.checkVisibility());
      if (!find()) document.querySelector('.content .toggle-list[aria-expanded="false"]')?.click();
      requestAnimationFrame(() => find()?.focus());
    },
    setTheme(value) {
      theme = value;
      keep("corral_theme", value);
      paint();
    },
    async setLanguage(code, tag, popup) {
      keep("corral_lang", code);
      document.documentElement.lang = tag;
      // what NiceGUI says when the connection is lost stands outside of Vue and is there from the start
      document.querySelectorAll("#popup > span").forEach((line, at) => (line.textContent = popup[at]));
      const name = tag.replace("-", "");
      if (!Quasar.lang[name]) {
        const src = document.querySelector('script[src*="/static/lang/"]').src.replace(/lang\/[^/]+$/, `lang/${tag}.umd.prod.js`);
        await new Promise((resolve, reject) => {
          document.head.append(Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject }));
        });
      }
      Quasar.lang.set(Quasar.lang[name]);
    },
    // true when the text is on the clipboard; plain http on a LAN has no navigator.clipboard, hence the old way
    async copy(text) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        const box = Object.assign(document.createElement("textarea"), { value: text, style: "position:fixed;opacity:0" });
        document.body.append(box);
        box.select();
        const done = document.execCommand("copy");
        box.remove();
        return done;
      }
    },
  };
})();
