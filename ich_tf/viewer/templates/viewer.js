"use strict";
(() => {
  const store = document.getElementById("cases");
  if (!store) return;
  const cases = JSON.parse(store.textContent);
  const element = (id) => document.getElementById(id);
  const canvas = element("slice");
  const viewer = document.querySelector(".viewer");
  const shown = { z: 0, level: 40, width: 80, pixels: {}, current: cases[0], turn: 0, on: {} };
  const SWIPE_PIXELS = 14;
  const DRAWN_PIXELS = 768;
  const small = document.createElement("canvas");

  // The bytes of a picture that holds all slices.
  function bytes(address) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => {
        const sheet = document.createElement("canvas");
        sheet.width = image.width;
        sheet.height = image.height;
        const context = sheet.getContext("2d", { willReadFrequently: true });
        context.drawImage(image, 0, 0);
        resolve(context.getImageData(0, 0, image.width, image.height).data);
      };
      image.onerror = reject;
      image.src = address;
    });
  }

  const view = () => shown.current.views[element("row").value];
  const css = (colour) => "rgb(" + colour.join(",") + ")";

  async function load() {
    const current = shown.current;
    const turn = ++shown.turn;
    const { layers, facts } = view();
    const pixels = { hu: await bytes(current.hu) };
    for (const { picture } of layers) {
      if (picture) pixels[picture] = await bytes(current.pictures[picture]);
    }
    if (turn !== shown.turn) return;
    shown.pixels = pixels;
    element("layers").replaceChildren(...layers.map(control));
    const scale = Math.max(1, Math.round(DRAWN_PIXELS / current.width));
    canvas.width = scale * current.width;
    canvas.height = scale * current.height;
    element("facts").textContent = facts;
    draw();
  }

  // A switch for a layer, with the names of its labels.
  function control(layer) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    const key = document.createElement("kbd");
    box.type = "checkbox";
    box.id = "show-" + layer.name;
    box.checked = shown.on[layer.name] ?? layer.shown;
    box.disabled = !layer.picture;
    box.addEventListener("change", () => {
      shown.on[layer.name] = box.checked;
      draw();
    });
    key.textContent = layer.key.toUpperCase();
    label.append(box, " ", layer.title, " ", key);
    if (layer.legend.length) {
      layer.legend.forEach((name, index) => label.append(entry(name, layer.colours[index])));
    } else {
      label.insertBefore(swatch(layer.colours[0]), label.childNodes[1]);
    }
    return label;
  }

  function entry(name, colour) {
    const both = document.createElement("span");
    both.className = "entry";
    both.append(swatch(colour), name);
    return both;
  }

  function swatch(colour) {
    const mark = document.createElement("span");
    mark.className = "swatch";
    mark.style.background = css(colour);
    return mark;
  }

  // Index of a pixel in a picture with all slices.
  function place(z, y, x) {
    const { width, height, columns } = shown.current;
    const row = Math.floor(z / columns) * height + y;
    return row * columns * width + (z % columns) * width + x;
  }

  // Sides of a square of four neighbours that an outline runs between, by which of its
  // corners are inside: 1 top left, 2 top right, 4 bottom right, 8 bottom left.
  const [TOP, RIGHT, BOTTOM, LEFT] = [[1, 0.5], [1.5, 1], [1, 1.5], [0.5, 1]];
  const CROSSINGS = [
    [], [LEFT, TOP], [TOP, RIGHT], [LEFT, RIGHT], [RIGHT, BOTTOM],
    [LEFT, TOP, RIGHT, BOTTOM], [TOP, BOTTOM], [LEFT, BOTTOM], [BOTTOM, LEFT],
    [BOTTOM, TOP], [TOP, RIGHT, BOTTOM, LEFT], [BOTTOM, RIGHT], [RIGHT, LEFT],
    [RIGHT, TOP], [TOP, LEFT], [],
  ];

  // The outline of a part of a mask, in pixels of the slice.
  function outline(inside) {
    const { width, height } = shown.current;
    const path = new Path2D();
    const at = (y, x) => Number(x >= 0 && y >= 0 && x < width && y < height && inside(y, x));
    for (let y = -1; y < height; y++) {
      for (let x = -1; x < width; x++) {
        const corners =
          at(y, x) + 2 * at(y, x + 1) + 4 * at(y + 1, x + 1) + 8 * at(y + 1, x);
        CROSSINGS[corners].forEach(([right, down], index) => {
          if (index % 2) path.lineTo(x + right, y + down);
          else path.moveTo(x + right, y + down);
        });
      }
    }
    return path;
  }

  // The value of a mask at a pixel: 0, or the number of its colour.
  function values(layer, z) {
    const data = shown.pixels[layer.picture];
    const raw = (y, x) => data[4 * place(z, y, x)];
    return layer.kind === "labels" ? raw : (y, x) => Number(raw(y, x) > 127);
  }

  const mix = (colour, other, share) =>
    colour.map((part, index) => (1 - share) * part + share * other[index]);

  // The colour of a pixel under a layer; outlines are drawn afterwards.
  function painter(layer, z) {
    if (layer.kind === "heat") {
      const data = shown.pixels[layer.picture];
      return (colour, y, x) =>
        mix(colour, layer.colours[0], (0.6 * data[4 * place(z, y, x)]) / 255);
    }
    const value = values(layer, z);
    return (colour, y, x) => {
      const own = value(y, x);
      if (!own || layer.kind === "outline") return colour;
      return mix(colour, layer.colours[own - 1], 0.3);
    };
  }

  function drawOutlines(context, layer, z) {
    const value = values(layer, z);
    layer.colours.forEach((colour, index) => {
      context.strokeStyle = css(colour);
      context.stroke(outline((y, x) => value(y, x) === index + 1));
    });
  }

  function draw() {
    const { pixels, current, z, level, width: window } = shown;
    if (!pixels.hu) return;
    const { width, height } = current;
    const picture = new ImageData(width, height);
    const layers = view().layers.filter(
      (layer) => layer.picture && element("show-" + layer.name).checked);
    const painters = layers.map((layer) => painter(layer, z));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const from = 4 * place(z, y, x);
        const hu = pixels.hu[from] * 256 + pixels.hu[from + 1] - 32768;
        const gray = Math.min(255, Math.max(0, (255 * (hu - level + window / 2)) / window));
        let colour = [gray, gray, gray];
        for (const paint of painters) colour = paint(colour, y, x);
        picture.data.set([...colour, 255], 4 * (y * width + x));
      }
    }
    // The slice is enlarged smoothly; outlines are drawn over it as curves.
    small.width = width;
    small.height = height;
    small.getContext("2d").putImageData(picture, 0, 0);
    const context = canvas.getContext("2d");
    const scale = canvas.width / width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0);
    context.lineWidth = 1.6 / scale;
    context.lineJoin = context.lineCap = "round";
    for (const layer of layers) if (layer.kind !== "heat") drawOutlines(context, layer, z);
    element("slice-number").textContent = z + 1 + " of " + current.slices;
    element("slice-facts").textContent = current.slice_facts[z] || "";
    element("level-number").textContent = level + " HU";
    element("width-number").textContent = window + " HU";
    element("slice-range").value = z;
    element("level").value = level;
    element("width").value = window;
  }

  function go(z) {
    shown.z = Math.min(Math.max(z, 0), shown.current.slices - 1);
    draw();
  }

  function setWindow(level, width) {
    shown.level = Math.round(Math.min(Math.max(level, -200), 800));
    shown.width = Math.round(Math.min(Math.max(width, 1), 3000));
    draw();
  }

  function fill(select, names) {
    const before = select.value;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(before)) select.value = before;
    select.parentElement.hidden = names.length < 2 && !names[0];
  }

  function choose(number) {
    const wrapped = (number + cases.length) % cases.length;
    shown.current = cases[wrapped];
    element("case").selectedIndex = wrapped;
    fill(element("row"), Object.keys(shown.current.views));
    element("slice-range").max = shown.current.slices - 1;
    shown.z = shown.current.start;
    load();
  }

  const presets = document.querySelectorAll("button[data-level]");
  function press(button) {
    setWindow(Number(button.dataset.level), Number(button.dataset.width));
  }

  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["SELECT", "INPUT"].includes(event.target.tagName) && event.key.startsWith("Arrow")) return;
    const key = event.key.toLowerCase();
    const layer = view().layers.find((item) => item.key === key);
    if (key === "arrowup") go(shown.z + 1);
    else if (key === "arrowdown") go(shown.z - 1);
    else if (key === "arrowleft") choose(element("case").selectedIndex - 1);
    else if (key === "arrowright") choose(element("case").selectedIndex + 1);
    else if (layer) element("show-" + layer.name).click();
    else if (presets[Number(key) - 1]) press(presets[Number(key) - 1]);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    const next = shown.z + (event.deltaY > 0 ? -1 : 1);
    // Beyond the first and the last slice the wheel scrolls the page.
    if (next < 0 || next >= shown.current.slices) return;
    event.preventDefault();
    go(next);
  }, { passive: false });

  // A mouse drags the window; a finger drags through the slices.
  let swiped = 0;
  canvas.addEventListener("pointerdown", (event) => {
    swiped = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons !== 1) return;
    if (event.pointerType === "mouse") {
      setWindow(shown.level + event.movementY, shown.width + 2 * event.movementX);
      return;
    }
    swiped -= event.movementY;
    const steps = Math.trunc(swiped / SWIPE_PIXELS);
    swiped -= steps * SWIPE_PIXELS;
    if (steps) go(shown.z + steps);
  });
  element("lower").addEventListener("click", () => go(shown.z - 1));
  element("higher").addEventListener("click", () => go(shown.z + 1));
  element("slice-range").addEventListener("input", (event) => go(Number(event.target.value)));
  for (const name of ["level", "width"]) {
    element(name).addEventListener("input", () =>
      setWindow(Number(element("level").value), Number(element("width").value)));
  }
  for (const button of presets) button.addEventListener("click", () => press(button));
  for (const link of document.querySelectorAll("[data-slice]")) {
    link.addEventListener("click", () => go(Number(link.dataset.slice) - 1));
  }
  element("case").addEventListener("change", (event) => choose(event.target.selectedIndex));
  element("row").addEventListener("change", load);
  fill(element("case"), cases.map((item) => item.id));
  choose(0);
})();
