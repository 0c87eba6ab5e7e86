"use strict";
(() => {
  const store = document.getElementById("cases");
  if (!store) return;
  const cases = JSON.parse(store.textContent);
  const element = (id) => document.getElementById(id);
  const canvas = element("slice");
  const viewer = document.querySelector(".viewer");
  const shown = { z: 0, level: 40, width: 80, pixels: {}, current: cases[0], turn: 0 };

  // The bytes of a picture with all slices below each other.
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

  async function load() {
    const current = shown.current;
    const turn = ++shown.turn;
    const prediction = current.predictions[element("row").value];
    const addresses = {
      hu: current.hu,
      truth: current.truth,
      heat: current.heat,
      prediction: prediction && prediction.picture,
    };
    const pixels = {};
    for (const [name, address] of Object.entries(addresses)) {
      pixels[name] = address ? await bytes(address) : null;
    }
    if (turn !== shown.turn) return;
    shown.pixels = pixels;
    for (const name of ["truth", "heat", "prediction"]) {
      element("show-" + name).disabled = !pixels[name];
    }
    canvas.width = current.width;
    canvas.height = current.height;
    const truth = current.truth_ml ? current.truth_ml.toFixed(1) + " ml" : "none";
    const dice = prediction && prediction.dice;
    element("facts").textContent =
      "Hemorrhage: " + truth + ". Dice of this prediction: " +
      (dice === null || dice === undefined ? "undefined" : dice.toFixed(3)) + ".";
    draw();
  }

  const inside = (mask, at) => mask && mask[4 * at] > 127;

  function onEdge(mask, first, x, y, width, height) {
    if (!inside(mask, first + y * width + x)) return false;
    return (
      x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
      !inside(mask, first + y * width + x - 1) ||
      !inside(mask, first + y * width + x + 1) ||
      !inside(mask, first + (y - 1) * width + x) ||
      !inside(mask, first + (y + 1) * width + x)
    );
  }

  function draw() {
    const { pixels, current, z, level, width: window } = shown;
    if (!pixels.hu) return;
    const { width, height } = current;
    const first = z * width * height;
    const picture = new ImageData(width, height);
    const on = (name) => element("show-" + name).checked && pixels[name];
    const truth = on("truth"), prediction = on("prediction"), heat = on("heat");
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = y * width + x;
        const from = 4 * (first + at);
        const hu = pixels.hu[from] * 256 + pixels.hu[from + 1] - 32768;
        const gray = (255 * (hu - level + window / 2)) / window;
        let color = [gray, gray, gray];
        if (heat) {
          const share = 0.6 * (heat[from] / 255);
          color = [gray + share * (255 - gray), gray + share * (140 - gray), gray * (1 - share)];
        }
        if (inside(prediction, first + at)) {
          color = [0.7 * color[0] + 76, 0.7 * color[1] + 17, 0.7 * color[2] + 12];
        }
        if (prediction && onEdge(prediction, first, x, y, width, height)) color = [235, 64, 52];
        if (truth && onEdge(truth, first, x, y, width, height)) color = [46, 204, 113];
        picture.data.set([...color, 255], 4 * at);
      }
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    element("slice-number").textContent = z + 1 + " of " + current.slices;
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
  }

  function choose(number) {
    const wrapped = (number + cases.length) % cases.length;
    shown.current = cases[wrapped];
    element("case").selectedIndex = wrapped;
    fill(element("row"), Object.keys(shown.current.predictions));
    element("slice-range").max = shown.current.slices - 1;
    shown.z = shown.current.start;
    load();
  }

  const toggles = { m: "truth", p: "prediction", h: "heat" };
  const presets = document.querySelectorAll("button[data-level]");
  function press(button) {
    setWindow(Number(button.dataset.level), Number(button.dataset.width));
  }

  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["SELECT", "INPUT"].includes(event.target.tagName) && event.key.startsWith("Arrow")) return;
    const key = event.key.toLowerCase();
    if (key === "arrowup") go(shown.z + 1);
    else if (key === "arrowdown") go(shown.z - 1);
    else if (key === "arrowleft") choose(element("case").selectedIndex - 1);
    else if (key === "arrowright") choose(element("case").selectedIndex + 1);
    else if (toggles[key]) element("show-" + toggles[key]).click();
    else if (presets[Number(key) - 1]) press(presets[Number(key) - 1]);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    go(shown.z + (event.deltaY > 0 ? -1 : 1));
  }, { passive: false });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType === "mouse") {
      setWindow(shown.level + event.movementY, shown.width + 2 * event.movementX);
    }
  });
  element("slice-range").addEventListener("input", (event) => go(Number(event.target.value)));
  for (const name of ["level", "width"]) {
    element(name).addEventListener("input", () =>
      setWindow(Number(element("level").value), Number(element("width").value)));
  }
  for (const name of ["truth", "prediction", "heat"]) {
    element("show-" + name).addEventListener("change", draw);
  }
  for (const button of presets) button.addEventListener("click", () => press(button));
  element("case").addEventListener("change", (event) => choose(event.target.selectedIndex));
  element("row").addEventListener("change", load);
  fill(element("case"), cases.map((item) => item.id));
  choose(0);
})();
