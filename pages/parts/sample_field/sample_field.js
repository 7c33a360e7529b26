// The field of samples in the browser. Tiles are buttons, built anew only when the sheet of pictures changes.

const fields = new WeakMap(); // parentElement -> field

export default function ({ data, parentElement, setStateValue }) {
  let field = fields.get(parentElement);
  if (!field) {
    const root = document.createElement("div");
    root.className = "field";
    root.role = "group";
    root.ariaLabel = "Validation samples";
    parentElement.append(root);
    fields.set(parentElement, (field = { root, tiles: [] }));
  }
  field.pick = (place) => {
    field.picked = place;
    mark(field);
    setStateValue("picked", place);
  };
  if (field.sheet !== data.sheet) build(field, data);
  if (field.told !== data.picked) field.picked = field.told = data.picked; // what a person just picked stays
  tell(field, data);
  mark(field);
}

function build(field, { sheet, columns, right }) {
  field.sheet = sheet;
  const rows = Math.ceil(right.length / columns);
  const percent = (place, count) => (count > 1 ? (100 * place) / (count - 1) : 0);
  field.root.style.setProperty("--columns", columns);
  field.tiles = right.map((_, place) => {
    const tile = document.createElement("button");
    const [row, column] = [Math.floor(place / columns), place % columns];
    tile.type = "button";
    tile.style.backgroundImage = `url("${sheet}")`;
    tile.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    tile.style.backgroundPosition = `${percent(column, columns)}% ${percent(row, rows)}%`;
    tile.append(document.createElement("span"));
    tile.addEventListener("click", () => field.pick(place));
    return tile;
  });
  field.root.replaceChildren(...field.tiles);
}

function tell(field, { right, answers }) {
  field.tiles.forEach((tile, place) => {
    const [is, says] = [right[place], answers?.[place]];
    tile.className = says === undefined ? "" : says === is ? "right" : "wrong";
    tile.firstChild.textContent = says === undefined || says === is ? "" : says;
    tile.title = says === undefined ? `this is ${is}` : `this is ${is}; the network says ${says}`;
    tile.ariaLabel = tile.title;
  });
}

function mark(field) {
  field.tiles.forEach((tile, place) => (tile.ariaPressed = String(place === field.picked)));
}
