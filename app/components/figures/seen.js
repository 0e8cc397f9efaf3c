// Tells whether an element can be seen now: it is near the part that is scrolled into view, and the page is in front.
export function watchSeen(element, tell) {
  let near = false;
  let told = null;
  const say = () => {
    const seen = near && !document.hidden;
    if (seen !== told) tell((told = seen));
  };
  const observer = new IntersectionObserver(
    (entries) => {
      near = entries.at(-1).isIntersecting;
      say();
    },
    { scrollMargin: "160px" },
  );
  observer.observe(element);
  document.addEventListener("visibilitychange", say);
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", say);
  };
}
