// A formula wider than the page scrolls in its own box: then, and only then, a keyboard stops there.
(() => {
  const mark = () =>
    document.querySelectorAll('mjx-container[display="true"]').forEach((formula) => {
      if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    });
  addEventListener("resize", mark);
  addEventListener("load", () =>
    Promise.all([window.MathJax?.startup?.promise, document.fonts.ready]).then(mark));
})();
