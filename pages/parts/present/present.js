// A button that marks the whole document as presented; how that looks is said in style.css. The tab remembers it.

const KEPT = "dlcore-presenting";

export default function ({ parentElement }) {
  if (parentElement.querySelector("button")) return;
  const page = document.documentElement;
  const button = document.createElement("button");
  const set = (on) => {
    page.classList.toggle("presenting", on);
    sessionStorage.setItem(KEPT, on ? "yes" : "");
    button.ariaPressed = on;
    button.textContent = on ? "End presentation" : "Present";
    button.title = on ? "Back to the settings (Escape)." : "Larger type, settings hidden: for a room that watches.";
  };
  const escape = (event) => event.key === "Escape" && page.classList.contains("presenting") && set(false);
  button.addEventListener("click", () => set(!page.classList.contains("presenting")));
  document.addEventListener("keydown", escape);
  parentElement.append(button);
  set(sessionStorage.getItem(KEPT) === "yes");
  return () => {
    document.removeEventListener("keydown", escape);
    button.remove();
  };
}
