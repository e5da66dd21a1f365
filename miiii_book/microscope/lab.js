/* In a notebook: what Python says stands in one unseen widget, and the state goes to another. */
document.addEventListener("DOMContentLoaded", () => {
  const [root, outside] = [document.querySelector(".miiii-microscope"), window.parent.document];
  const [said, heard] = ["said", "heard input"].map((name) => () => outside.querySelector(`.miiii-${miiii.cell}-${name}`));
  root.addEventListener("miiii-state", ({ detail }) => {
    heard().value = miiii.address.write(detail);
    heard().dispatchEvent(new Event("input", { bubbles: true }));
    heard().dispatchEvent(new Event("change", { bubbles: true }));
  });
  const follow = () => root.store.set(miiii.address.read(said().textContent));
  new MutationObserver(follow).observe(said(), { childList: true, subtree: true, characterData: true });
});
