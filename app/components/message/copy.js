// Copying, with a word on how it went.

// copies what text() gives; where that is not allowed, what is shown is selected for Ctrl+C
export async function copy(text, shown) {
  const back = document.activeElement;
  const done = await globalThis.corral.copy(text);
  back?.focus?.({ preventScroll: true });
  if (!done && shown) getSelection().selectAllChildren(shown);
  return done;
}

// a plain button, for places that Vue does not draw; labels() is asked each time, as the language may change
export function copyButton(text, labels, shown) {
  const button = document.createElement("button");
  const icon = document.createElement("i");
  const word = document.createElement("span");
  button.type = "button";
  button.className = "btn ghost tiny copy";
  icon.ariaHidden = "true";
  button.append(icon, word);
  let timer;
  const say = (name, drawing) => {
    icon.className = "icon icon-" + drawing;
    word.textContent = labels()[name];
  };
  button.relabel = () => say("copy", "copy");
  button.relabel();
  button.addEventListener("click", async () => {
    clearTimeout(timer);
    const done = await copy(text(), shown);
    button.classList.toggle("done", done);
    say(done ? "copied" : "copy_by_hand", done ? "check" : "copy");
    timer = setTimeout(() => {
      button.classList.remove("done");
      button.relabel();
    }, 2000);
  });
  return button;
}
