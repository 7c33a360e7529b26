// Saves what the server sends as a file, once for every number that it carries, and says that it came.
export default function ({ data, parentElement, setStateValue }) {
  if (!data.number) return;
  if (parentElement.saved !== data.number) {
    parentElement.saved = data.number;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data.text], { type: data.type }));
    link.download = data.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may ask where to save it first
  }
  setStateValue("saved", data.number);
}
