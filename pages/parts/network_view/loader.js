// What Streamlit sends with every update, and so as little as can be: it has the browser load the rest once.

export default function (update) {
  const base = document.querySelector('script[src*="static/js/"]')?.src.replace(/static\/js\/[^/]*$/, "");
  const url = new URL(`app/static/${update.data.script}`, base ?? document.baseURI);
  import(url).then((module) => update.parentElement.isConnected && module.default(update));
}
