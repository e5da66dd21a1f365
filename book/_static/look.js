// One switch for the whole site: code that is folded away is shown, open, or is not there at all.
// It runs before the page is painted, so that no bar flashes up. Without it the theme's bars stay.
(() => {
  const KEY = "miiii-code";
  const CODE = ".cell:is(.tag_hide-input, .tag_hide-cell) > details.hide";
  const root = document.documentElement;
  let button;

  const remembered = () => {
    try {
      return localStorage.getItem(KEY) === "shown";
    } catch {
      return false; // a reader may forbid a page to keep anything
    }
  };
  const remember = (shown) => {
    try {
      localStorage.setItem(KEY, shown ? "shown" : "hidden");
    } catch {}
  };

  // The stylesheet hides by the root's attribute what is not to be seen.
  const apply = (shown) => {
    root.dataset.code = shown ? "shown" : "hidden";
    document.querySelectorAll(CODE).forEach((fold) => (fold.open = shown));
    button?.setAttribute("aria-pressed", shown);
    dispatchEvent(new Event("resize")); // the theme looks again which boxes scroll, for the keyboard
  };

  const addButton = () => {
    const buttons = document.querySelector(".article-header-buttons");
    if (!buttons || !document.querySelector(CODE)) return;
    button = document.createElement("button");
    button.type = "button";
    button.className = "show-code";
    button.title = "Show the code of figures and tables, on all pages";
    button.innerHTML = '<i class="fa-solid fa-code" aria-hidden="true"></i> <span>Show code</span>';
    button.addEventListener("click", () => {
      const shown = root.dataset.code !== "shown";
      // What the reader looks at stays where it is, however much opens above it.
      const seen = [...document.querySelectorAll(".bd-article :is(p, figure, h2)")].find(
        (element) => element.getBoundingClientRect().top > 60);
      const before = seen?.getBoundingClientRect().top;
      remember(shown);
      apply(shown);
      if (seen) scrollBy({top: seen.getBoundingClientRect().top - before, behavior: "instant"});
    });
    buttons.prepend(button);
  };

  apply(remembered());
  document.addEventListener("DOMContentLoaded", () => {
    addButton();
    apply(remembered());
  });
  // Another tab has switched, or the page comes back as it was left.
  addEventListener("storage", (event) => event.key === KEY && apply(remembered()));
  addEventListener("pageshow", (event) => event.persisted && apply(remembered()));
})();
